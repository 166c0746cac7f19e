"""What training returns."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dmlcli.report.models_diff import ScoreDifference
from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Seconds, Share


@dataclass(frozen=True)
class Decision:
    """What `--keep-if-better` decided."""

    switched: bool
    """Whether the new model is now the current one."""
    reason: str
    """Why, in words."""
    current: str
    """Fingerprint of the model that was current before; empty where there was none."""
    scores: tuple[ScoreDifference, ...] = ()
    """Both models on the same held-out photos, the new one first; empty where they could not be compared."""


@dataclass(frozen=True)
class TrainReport:
    """What training made; scores are MAP@R in validation, None where nothing could be held out."""

    run: str
    """Name of the run (`runs/<id>` in the workspace)."""
    model: str
    """Folder of the model."""
    fingerprint: str
    """Fingerprint of the model."""
    images: "Count"
    """Images of the catalog."""
    products: "Count"
    """Products that they show."""
    validation: str
    """What was held out, in words."""
    frozen_score: "Share | None"
    """MAP@R of the frozen backbone in validation; null where nothing could be held out."""
    score: "Share | None"
    """MAP@R of what was chosen; null where nothing could be held out."""
    chosen: str
    """The candidate that was chosen."""
    seconds: "Seconds"
    """Time of the whole run, in seconds."""
    index: str | None
    """Folder of the index; null with `--no-index`."""
    caution: str = ""
    """What is wrong with the model; empty where nothing is."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
    searches: "dict[str, dict[str, Share]]" = field(default_factory=dict)
    """MAP@R of `frozen` and `chosen` of `seen` and `unseen` products, as far as each was searched."""
    product_recall: "dict[str, dict[str, Share]]" = field(default_factory=dict)
    """Recall@1, @3 and @5 by product of what was chosen, of `seen` and `unseen` products, by metric."""
    reason: str = ""
    """Why the frozen backbone is kept, where training did not help; else empty."""
    replaced: str | None = None
    """Folder in which the model that was replaced is kept; null where there was none."""
    decision: Decision | None = None
    """What `--keep-if-better` decided; null without."""

    @property
    def says_no(self) -> bool:
        """Whether the new model is not used, because it was not better."""
        return self.decision is not None and not self.decision.switched
