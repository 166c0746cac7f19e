"""Splitting of FusedConv: the standard graph computes what the one for the CPU does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from dmlcli.standard_graph import standard_graph


@pytest.mark.parametrize(
    "kind, numbers",
    [("", []), ("Relu", []), ("Sigmoid", []), ("Clip", [0.0, 0.5]), ("HardSigmoid", [0.2, 0.4]), ("LeakyRelu", [0.1])],
)
@pytest.mark.parametrize("bias, added", [(True, False), (False, False), (True, True), (False, True)])
def test_the_parts_compute_what_the_fused_operator_does(
    tmp_path: Path, kind: str, numbers: list[float], bias: bool, added: bool
) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.standard_normal((2, 3, 3, 3)).astype(np.float32),
        **({"b": np.array([1, -1], np.float32)} if bias else {}),
        **({"z": rng.standard_normal((1, 2, 4, 4)).astype(np.float32)} if added else {}),
    }
    inputs = ["x", "w", "b" if bias else "", *(["z"] if added else [])]
    node = helper.make_node("FusedConv", inputs, ["y"], domain="com.microsoft", pads=[1, 1, 1, 1])
    if kind:
        node.attribute.append(helper.make_attribute("activation", kind))
    if numbers:
        node.attribute.append(helper.make_attribute("activation_params", numbers))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), tmp_path / "fused.onnx")
    pixels = rng.standard_normal((1, 3, 4, 4)).astype(np.float32)
    fused, split = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, {"x": pixels})[0]
        for one in (str(tmp_path / "fused.onnx"), standard_graph(tmp_path / "fused.onnx"))
    )
    assert np.allclose(fused, split, atol=1e-5)
