"""What a training run would do, and what it would take (`train --dry-run`)."""

from dataclasses import dataclass
from typing import Any

from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class PlanReport:
    """What a training run would do, how long its parts would take (seconds) and how much memory (bytes)."""

    images: int
    products: int
    recipe: dict[str, Any]  # as resolved
    validation: str
    parts: dict[str, float]
    seconds: float
    memory: int
    unusual: tuple[str, ...] = ()  # about the catalog, and what follows from it
    next_stage: str = ""  # what --tune auto does after the head, and why
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()
