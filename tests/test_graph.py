"""A damaged graph is told, whatever kind of damage it is."""

from pathlib import Path

import pytest

from dmlcli.errors import ModelError
from dmlcli.graph import open_graph


@pytest.mark.parametrize("data", [b"", b"hello", b"\x08\x07" * 500])
def test_a_damaged_graph_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "graph.onnx").write_bytes(data)
    with pytest.raises(ModelError, match="damaged") as caught:
        open_graph(tmp_path / "graph.onnx")
    assert caught.value.hint


def test_a_missing_graph_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        open_graph(tmp_path / "graph.onnx")
