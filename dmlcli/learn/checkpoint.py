"""The file from which an interrupted run goes on: written whole or not at all, read without running code."""

import pickle
import time
from pathlib import Path
from typing import Any

import torch

from dmlcli import disk
from dmlcli.errors import CannotRun

_SPARING = 20  # a checkpoint is written when training took this many times as long as writing the one before


class Checkpoint:
    """The checkpoint of one run, replaced as training goes on, but never for more than a twentieth of the time."""

    def __init__(self, file: Path | None) -> None:
        """`file`: None where nothing is to be kept."""
        self.file = file
        self._next = 0.0  # when it is worth writing again

    def save(self, state: dict[str, Any]) -> None:
        """Write the state, unless that was done a moment ago: what is lost is then only computed again."""
        started = time.monotonic()
        if self.file is None or started < self._next:
            return
        with disk.new_file(self.file) as draft:
            torch.save(state, draft)
        ended = time.monotonic()
        self._next = ended + _SPARING * (ended - started)

    def load(self) -> dict[str, Any] | None:
        """The state that was written last; None where the run did not come so far.

        Errors: CannotRun where the file is damaged.
        """
        if self.file is None or not self.file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
            return state
        except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            raise CannotRun(
                f"the checkpoint {self.file} is damaged: {type(error).__name__}",
                hint=f"train again without --resume, or delete {self.file.parent}",
            ) from error
