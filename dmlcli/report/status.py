"""The report of `status`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunRow:
    """One training run: `running`, `interrupted` (--resume continues it) or `done`; best MAP@R in validation."""

    id: str
    started: str
    state: str
    epochs: int
    score: float | None
    chosen: str


@dataclass(frozen=True)
class StatusReport:
    """What the workspace holds; each part is None where it is not there."""

    workspace: str | None
    model: dict[str, str] | None
    embeddings: dict[str, str] | None
    index: dict[str, str] | None
    next: str
    cautions: tuple[str, ...] = ()
    runs: tuple[RunRow, ...] = ()  # oldest first
