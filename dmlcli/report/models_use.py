"""What `models use` returns."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dmlcli.report.models_diff import ScoreDifference

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Seconds


IndexState = Literal["rebuilt", "unchanged", "other model", "none"]


@dataclass(frozen=True)
class ModelsUseReport:
    """The model that is now the current one, and what became of the index."""

    fingerprint: str
    """Fingerprint of the model."""
    model: str
    """Folder of the current model."""
    replaced: str | None
    """Fingerprint of the model that was current before; null where there was none, or the same."""
    index: IndexState
    """What became of the index: `rebuilt`, `unchanged` (it was made by this model), `other model`, or `none`."""
    images: "Count"
    """Images of the index that was rebuilt; 0 for another index."""
    embedded: "Count"
    """How many of them had to be embedded; the vectors of the others were kept, or made of cached features."""
    from_features: "Count"
    """How many vectors the head of the model made of cached features."""
    scores: tuple[ScoreDifference, ...]
    """The model (first) and the one that it replaced on the photos held out from both; empty without such photos."""
    seconds: "Seconds"
    """Time that it took, in seconds."""
