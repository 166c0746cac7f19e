"""The report of `status`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Share


RunState = Literal["running", "interrupted", "done"]


@dataclass(frozen=True)
class RunRow:
    """One training run."""

    id: str
    """Its name, for `train --resume --run`."""
    started: str
    """When it was started (UTC, ISO 8601)."""
    state: RunState
    """Whether it is running, was interrupted (`--resume` continues it), or is done."""
    epochs: "Count"
    """Epochs of gradient training so far."""
    score: "Share | None"
    """Best MAP@R in validation; null where there is none yet."""
    chosen: str
    """The candidate that was chosen; empty where the run is not done."""


@dataclass(frozen=True)
class StatusReport:
    """What the workspace holds; each part is null where it is not there."""

    workspace: str | None
    """Folder of the workspace."""
    model: dict[str, str] | None
    """Facts about the model, as they are shown."""
    embeddings: dict[str, str] | None
    """Facts about the embeddings: images, dim, model (fingerprint) and root."""
    index: dict[str, str] | None
    """Facts about the index: images, dim, model (fingerprint) and root."""
    next: str
    """The command to type next."""
    cautions: tuple[str, ...] = ()
    """Warnings."""
    runs: tuple[RunRow, ...] = ()
    """The training runs, oldest first."""
