"""Inference without torch; only this module imports ONNX Runtime.

Its weights are in a separate file, which is memory-mapped: what is in the graph itself would be
parsed and copied at every start, and that takes longer than embedding a photo.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlcli import prefetch
from dmlcli.errors import CannotRun, ModelError
from dmlcli.feature_maps import MAPS
from dmlcli.model import GRAPH_WEIGHTS
from dmlcli.standard_graph import standard_graph
from dmlcli.types import Forward, Pixels, Vectors

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor


PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
}


def providers() -> list[str]:
    """Return the providers that the installed ONNX Runtime has, as --provider calls them."""
    listed = _runtime().get_available_providers()
    return [name for name, its_name in PROVIDERS.items() if its_name in listed]


def open_graph(file: Path, *, few: bool = False, provider: str = "", place: int = 0) -> Forward:
    """Return a function from pixels (B, 3, H, W) to unit vectors (B, D); raises ModelError where the graph is damaged.

    The images of a batch go through one by one, as many at a time as there are cores: what a layer makes of one image
    stays in a core's own memory, which that of a batch does not, and no thread waits for another. So a vector never
    depends on what else was in the batch. A provider is given the whole batch at once.

    Args:
        file: the graph; its weights are in a file next to it.
        few: it will be called for an image or two, which is not worth laying the weights out for this processor first.
        provider: a key of `PROVIDERS`; "": the CPU.
        place: the number of the GPU, from 0; for the provider `cuda`.

    Raises:
        CannotRun: the provider cannot run on this machine.
    """
    session = _session(file, few=few, provider=provider, place=place)
    name, found = (
        session.get_inputs()[0].name,
        [session.get_outputs()[0].name],
    )  # maps are computed only for `open_maps`
    threads = None if few or provider else _threads()

    def run(image: Pixels) -> Pixels:  # (B, 3, H, W)
        try:
            vectors = np.asarray(session.run(found, {name: image})[0], dtype=np.float32)
        except Exception as error:
            if provider:
                raise _unusable(provider, error) from error
            raise _damaged(file, error) from error
        if vectors.shape[:-1] != image.shape[:1] or not np.isfinite(vectors).all():
            raise _damaged(file, "its output contains NaN or infinity")
        return vectors

    def forward(batch: Pixels) -> Pixels:
        if threads is None or len(batch) < 2:  # alone, an image has all cores
            return run(batch)
        return np.concatenate(list(threads.map(run, batch[:, None])))

    return forward


def open_maps(file: Path) -> Callable[[Pixels], tuple[Vectors, dict[str, Pixels]]] | None:
    """Return a function from pixels (1, 3, H, W) to the unit vector (1, D) and the maps that it was pooled from.

    A map is (V, C, h, w), under its name in `feature_maps`: of the image, then of its mirror image if the model
    averages both. None for graphs without maps: of backbones that do not pool maps, and of earlier versions.

    Args:
        file: the graph; its weights are in a file next to it.

    Raises:
        ModelError: the graph is damaged; the returned function raises it, too.
    """
    session = _session(file, few=True)
    first, *others = [output.name for output in session.get_outputs()]
    names = [name for name in others if name in MAPS]
    if not names:
        return None
    given = session.get_inputs()[0].name

    def run(image: Pixels) -> tuple[Vectors, dict[str, Pixels]]:
        try:
            vector, *maps = session.run([first, *names], {given: image})
        except Exception as error:
            raise _damaged(file, error) from error
        return vector, dict(zip(names, maps, strict=True))

    return run


def _session(file: Path, *, few: bool, provider: str = "", place: int = 0) -> Any:
    """Return the session of a graph, whose first output is the vectors; the arguments are those of `open_graph`."""
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = prefetch.cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads must not burn a core
    options.log_severity_level = 3
    if few:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it was optimized once
    try:
        graph = standard_graph(file) if provider else str(file)
        linked = _linked_weights(file, always=bool(provider))
        if linked:
            options.add_external_initializers_from_files_in_memory([GRAPH_WEIGHTS], [linked], [len(linked)])
        session = onnxruntime.InferenceSession(graph, options, providers=_asked(provider, place))
    except Exception as error:  # the runtime has a kind of its own for every way to fail
        raise (_unusable(provider, error) if provider else _damaged(file, error)) from error
    if provider and session.get_providers()[0] != PROVIDERS[provider]:  # it goes on without one that fails to start
        raise _unusable(provider, "it did not start")
    inputs, outputs = session.get_inputs(), [each for each in session.get_outputs() if each.name not in MAPS]
    shapes = [list(each.shape) for each in (*inputs, *outputs)]
    if [len(shape) for shape in shapes] != [4, 2] or shapes[0][1] not in (3, None) or inputs[0].type != "tensor(float)":
        raise _damaged(file, f"expected input (B, 3, H, W) and output (B, D), found the shapes {shapes}")
    return session


def _asked(provider: str, place: int) -> list[Any]:
    """Return the providers of a session: the CPU comes last, and computes what the other one cannot."""
    if not provider:
        return ["CPUExecutionProvider"]
    exact = {"device_id": str(place), "use_tf32": "0"} if provider == "cuda" else {}  # TensorFloat-32 rounds to 10 bits
    return [(PROVIDERS[provider], exact), "CPUExecutionProvider"]


def _unusable(provider: str, error: object) -> CannotRun:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CannotRun(f"the ONNX Runtime provider {provider} cannot run this model here: {reason}", hint="--device cpu")


def _runtime() -> Any:
    """Return ONNX Runtime with telemetry off, which would look up a host and store a device id in the cache folder."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    import onnxruntime

    return onnxruntime


def _linked_weights(file: Path, *, always: bool) -> bytes:
    """Return the weights next to a graph if one of the two is a link, which ONNX Runtime does not follow; else b"".

    Args:
        file: the graph.
        always: return them also if neither is a link.
    """
    weights = file.with_name(GRAPH_WEIGHTS)
    return weights.read_bytes() if weights.exists() and (always or weights.is_symlink() or file.is_symlink()) else b""


def _damaged(file: Path, error: object) -> ModelError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ModelError(f"the inference graph {file} is damaged: {reason}", hint="train it again")


def _threads() -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # which a query of one photo does not wait for

    return ThreadPoolExecutor(prefetch.cores(), thread_name_prefix="graph")


def optimize(plain: Path, file: Path, weights: str) -> None:
    """Apply the graph optimizations of ONNX Runtime that do not depend on the machine, and store the result.

    Args:
        plain: the exported graph.
        file: the optimized graph to write.
        weights: the name of the file next to it that stores the weights.
    """
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(file)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
