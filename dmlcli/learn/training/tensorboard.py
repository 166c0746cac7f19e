"""The rows of metrics.jsonl for TensorBoard (`train --tensorboard`); needs the extra `dmlcli[tensorboard]`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dmlcli import storage
from dmlcli.errors import CannotRun

_GROUPS = {"loss": "training", "learning_rate": "training", "seconds": "pace", "images": "pace"}


class Board:
    """Event files in a run's folder: `tensorboard --logdir .dmlcli/runs` shows all runs beside each other."""

    def __init__(self, folder: Path, past: Iterable[Mapping[str, Any]] = ()) -> None:
        """`past`: lines of a resumed run, whose event files are written again.

        Errors: CannotRun where TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise CannotRun("TensorBoard is not installed", hint="pip install 'dmlcli[tensorboard]'") from error
        self._folder = folder
        with storage.writing(folder):
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer: Any = SummaryWriter(str(folder))
        for row in past:
            self.log(row)

    def log(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a line, at its epoch; 0 is what comes before the first."""
        with storage.writing(self._folder):
            for name, value in row.items():
                if isinstance(value, int | float) and not isinstance(value, bool) and name != "epoch":
                    group = _GROUPS.get(name, "validation" if name in ("map@r", "seen", "unseen") else "diagnostics")
                    self._writer.add_scalar(f"{group}/{name}", value, row.get("epoch") or 0)
            self._writer.flush()
