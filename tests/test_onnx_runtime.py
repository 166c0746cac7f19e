"""A damaged graph is reported, whatever kind of damage it is."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dmlcli.errors import ModelError
from dmlcli.model import open_model
from dmlcli.onnx_runtime import open_graph
from tests.conftest import Mission

Shapes = list[list[object]]


@pytest.mark.parametrize("data", [b"", b"hello", b"\x08\x07" * 500])
def test_a_damaged_graph_is_reported(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "graph.onnx").write_bytes(data)
    with pytest.raises(ModelError, match="damaged") as caught:
        open_graph(tmp_path / "graph.onnx")
    assert caught.value.hint


def test_a_missing_graph_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_graph(tmp_path / "graph.onnx")


def test_telemetry_is_off_before_the_runtime_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/commands/test_outside.py shows that nothing is looked up or left; this runs everywhere."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with pytest.raises(ModelError):
        open_graph(tmp_path / "graph.onnx")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def graph(file: Path, inputs: Shapes, outputs: Shapes, operator: str = "Flatten") -> Path:
    """A graph that applies one operator to its first input."""
    import onnx
    from onnx import TensorProto, helper

    given = [helper.make_tensor_value_info(f"in{n}", TensorProto.FLOAT, shape) for n, shape in enumerate(inputs)]
    made = [helper.make_tensor_value_info(f"out{n}", TensorProto.FLOAT, shape) for n, shape in enumerate(outputs)]
    nodes = [helper.make_node(operator, ["in0"], [f"out{n}"]) for n in range(len(outputs))]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", given, made), opset_imports=[helper.make_opsetid("", 17)]), file
    )
    return file


def test_a_graph_turns_pixels_into_vectors(tmp_path: Path) -> None:
    forward = open_graph(graph(tmp_path / "g.onnx", [["B", 3, 2, 2]], [["B", 12]]))
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    assert np.array_equal(forward(pixels), pixels.reshape(2, 12))


@pytest.mark.parametrize(
    "inputs, outputs",
    [
        ([["B", 3, 2, 2], ["B", 3, 2, 2]], [["B", 12]]),
        ([["B", 3, 2, 2]], [["B", 12], ["B", 12]]),
        ([["B", 3, 2]], [["B", 6]]),
        ([["B", 4, 2, 2]], [["B", 16]]),
    ],
)
def test_a_graph_of_other_shapes_is_reported(tmp_path: Path, inputs: Shapes, outputs: Shapes) -> None:
    with pytest.raises(ModelError, match="is damaged: expected input"):
        open_graph(graph(tmp_path / "g.onnx", inputs, outputs))


def test_a_graph_that_fails_at_work_is_reported(tmp_path: Path) -> None:
    forward = open_graph(graph(tmp_path / "g.onnx", [["B", 3, 2, 2]], [["B", 12]]))
    with pytest.raises(ModelError, match="damaged"):
        forward(np.zeros((1, 3, 5, 5), np.float32))


def test_a_vector_of_nan_is_reported(tmp_path: Path) -> None:
    forward = open_graph(graph(tmp_path / "g.onnx", [["B", 3, 2, 2]], [["B", 12]]))
    with pytest.raises(ModelError, match="NaN or infinity"):
        forward(np.full((1, 3, 2, 2), np.nan, np.float32))


def test_weights_that_are_linked_from_elsewhere_are_read(mission: Mission, tmp_path: Path) -> None:
    folder = shutil.copytree(mission.workspace / "model", tmp_path / "model")
    (folder / "graph.weights").rename(tmp_path / "weights")
    (folder / "graph.weights").symlink_to(tmp_path / "weights")
    found = open_model(folder)
    assert found.graph is not None
    size = found.record.image.crop
    pixels = np.random.default_rng(0).random((1, 3, size, size), dtype=np.float32)
    assert np.array_equal(
        open_graph(found.graph)(pixels), open_graph(mission.workspace / "model" / "graph.onnx")(pixels)
    )
