"""TensorBoard reads what a run logged, at its epochs; a resumed run is logged once."""

from pathlib import Path
from typing import Any

import pytest

board = pytest.importorskip("dmlcli.learn.training.tensorboard")
pytest.importorskip("tensorboard", reason="TensorBoard, an extra, is not installed")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(folder))
    events.Reload()
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_a_run_is_reported_at_its_epochs(tmp_path: Path) -> None:
    first = board.Board(tmp_path)
    first.log({"candidate": "LDA head", "map@r": 0.5, "best": True})
    first.log({"candidate": "epoch 1", "epoch": 1, "loss": 2.0, "map@r": 0.25, "idle_proxies": None})
    again = board.Board(tmp_path, [{"candidate": "LDA head", "map@r": 0.5}])
    again.log({"candidate": "epoch 1", "epoch": 1, "loss": 4.0, "map@r": 0.75})
    assert scalars(tmp_path) == {"validation/map@r": [(0, 0.5), (1, 0.75)], "training/loss": [(1, 4.0)]}
