"""What a training run would do, and what it would take (`train --dry-run`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Bytes, Count, Seconds


@dataclass(frozen=True)
class PlanReport:
    """What a training run would do, how long its parts would take and how much memory."""

    images: "Count"
    """Images of the catalog."""
    products: "Count"
    """Products that they show."""
    recipe: dict[str, Any]
    """Every setting, as resolved (docs/recipes.md)."""
    validation: str
    """What would be held out, in words."""
    parts: "dict[str, Seconds]"
    """Time of each part of the run, in seconds."""
    seconds: "Seconds"
    """Time of all parts, in seconds; training may stop earlier."""
    memory: "Bytes"
    """Most memory that the run holds, in bytes."""
    unusual: tuple[str, ...] = ()
    """What is unusual about the catalog, and what follows from it."""
    next_stage: str = ""
    """What `--tune auto` does after the head, and why; empty where it does nothing."""
    caution: str = ""
    """What is wrong with the weights; empty where nothing is."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
