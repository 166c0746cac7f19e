"""The file from which an interrupted run is resumed: written whole or not at all, read without running code."""

import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from dmlcli import storage
from dmlcli.errors import CannotRun

FINAL_FIT = "final fit"  # of a state: the trainer of the final fit, which follows the epochs
_SPARING = 20  # a checkpoint is written when training took this many times as long as writing the one before


class Checkpoint:
    """The checkpoint of one run, replaced during training, for at most a twentieth of the time."""

    def __init__(self, file: Path | None) -> None:
        """`file`: None where nothing is to be kept."""
        self.file = file
        self._next = 0.0  # when it is worth writing again

    def save(self, state: dict[str, Any]) -> None:
        """Write the state, unless that was done a moment ago: what is lost is then only computed again."""
        started = time.monotonic()
        if self.file is None or started < self._next:
            return
        with storage.new_file(self.file) as draft:
            torch.save(state, draft)
        ended = time.monotonic()
        self._next = ended + _SPARING * (ended - started)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was written last; None where the run did not come so far.

        Raises:
            CannotRun: the file is damaged.
        """
        if self.file is None or not self.file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise self._damaged(error) from error
        if not isinstance(state, dict):
            raise self._damaged(TypeError("not a dictionary"))
        return state

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Inside, what a saved state lacks or has in another shape raises CannotRun, naming the file."""
        try:
            yield
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> CannotRun:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        file = self.file or Path()
        return CannotRun(
            f"the checkpoint {file} is damaged or of another version, so this run cannot be resumed ({reason})",
            hint=f"train without --resume starts a new run; deleting {file} starts this one from its first epoch",
        )
