"""The inference graph of a model, run without torch. The only file that knows ONNX Runtime.

Its weights lie beside it in a file of their own, which is mapped into memory: what is in the graph itself would be
parsed and copied at every start, and that takes longer than embedding a photo.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlcli import feeding
from dmlcli.arrays import Forward, Pixels
from dmlcli.errors import ModelError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


def open_graph(file: Path, *, few: bool = False) -> Forward:
    """A function from pixels (B, 3, H, W) to unit vectors (B, D); raises ModelError where the graph is damaged.

    The images of a batch go through one by one, as many at a time as there are cores: what a layer makes of one image
    stays in a core's own memory, which that of a batch does not, and no thread waits for another. So a vector never
    depends on what else was in the batch.

    Args:
        few: it will be called for an image or two, which is not worth laying the weights out for this processor first.
    """
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = feeding.cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads must not burn a core
    options.log_severity_level = 3
    if few:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it was optimised once
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has a kind of its own for every way to fail
        raise ModelError(f"the inference graph {file} is damaged: {error}", hint="train it again") from error
    name = session.get_inputs()[0].name
    threads = None if few else _threads()

    def run(image: Pixels) -> Pixels:  # (1, 3, H, W)
        return np.asarray(session.run(None, {name: image})[0], dtype=np.float32)

    def forward(batch: Pixels) -> Pixels:
        if threads is None or len(batch) < 2:  # alone, an image has all cores
            return run(batch)
        return np.concatenate(list(threads.map(run, batch[:, None])))

    return forward


def _runtime() -> Any:
    """ONNX Runtime, with its telemetry off: it would look up a host and keep a device id in the user's cache folder."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    import onnxruntime

    return onnxruntime


def _threads() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # which a query of one photo does not wait for

    return ThreadPoolExecutor(feeding.cores(), thread_name_prefix="graph")


def optimise(plain: Path, file: Path, weights: str) -> None:
    """Let the runtime fuse what it can once, now, instead of at every start; nothing that ties it to this machine.

    Args:
        weights: the name of the file beside it that takes the weights.
    """
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
