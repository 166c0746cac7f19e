"""The file a run goes on from: whole or not at all, sparing with time, and damage is reported."""

from pathlib import Path

import pytest
import torch

from dmlcli.errors import CannotRun
from dmlcli.learn.training.checkpoint import Checkpoint


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    assert checkpoint.load() is None
    checkpoint.save({"epoch": 3, "weights": torch.arange(4.0), "best": {"score": None}})
    found = Checkpoint(tmp_path / "checkpoint.pt").load()
    assert found is not None and found["epoch"] == 3 and torch.equal(found["weights"], torch.arange(4.0))
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_it_is_not_written_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("dmlcli.learn.training.checkpoint.time.monotonic", lambda: now)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt")
    checkpoint.save({"epoch": 1})
    checkpoint._next = now + 5
    checkpoint.save({"epoch": 2})
    assert checkpoint.load() == {"epoch": 1}
    now = 106.0
    checkpoint.save({"epoch": 3})
    assert checkpoint.load() == {"epoch": 3}


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04half", b"garbage"])
def test_a_damaged_file_is_reported_with_what_to_do(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(damage)
    with pytest.raises(CannotRun, match="damaged") as caught:
        Checkpoint(tmp_path / "checkpoint.pt").load()
    assert "--resume" in caught.value.hint


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"epoch": Path("evil")}, tmp_path / "checkpoint.pt")
    with pytest.raises(CannotRun):
        Checkpoint(tmp_path / "checkpoint.pt").load()
