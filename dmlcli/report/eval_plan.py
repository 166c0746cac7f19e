"""What an evaluation would do, and what it would take (`eval --dry-run`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Bytes, Count, Seconds


@dataclass(frozen=True)
class EvalPlan:
    """What eval would do (`--dry-run`): who is searched among whom, and what it takes."""

    protocol: str
    """query/gallery or leave-one-out."""
    scope: str
    """Who is searched among whom, in words."""
    queries: "Count"
    """Images to search with."""
    gallery: "Count"
    """Images to search in."""
    dim: "Count"
    """Length of an embedding."""
    to_embed: "Count"
    """Images not known from an earlier run."""
    peak_bytes: "Bytes"
    """Memory of the vectors and of one block of similarities, in bytes."""
    seconds: "Seconds"
    """Time of the search in seconds; embedding comes on top."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
