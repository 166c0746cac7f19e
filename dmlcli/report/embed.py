"""What embedding returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Count


@dataclass(frozen=True)
class EmbedReport:
    """What embedding made, and how many of the images had to be computed."""

    output: str
    """The folder or file that was written."""
    images: "Count"
    """Images that it holds."""
    computed: "Count"
    """Images that were computed; the others were known from an earlier run."""
    dim: "Count"
    """Length of an embedding."""
    dtype: str
    """Type of its numbers: float32 or float16."""
    views: str
    """What each embedding is the average of (flip, crops); empty for one plain view."""
    model: str
    """Folder of the model that made them."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
