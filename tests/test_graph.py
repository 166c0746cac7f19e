"""A damaged graph is told, whatever kind of damage it is."""

import os
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


def test_telemetry_is_off_before_the_runtime_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/commands/test_outside.py shows that nothing is looked up or left; this runs everywhere."""
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with pytest.raises(ModelError):
        open_graph(tmp_path / "graph.onnx")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
