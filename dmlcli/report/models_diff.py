"""What `models diff` returns: two models on the same queries."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Difference, DifferenceInterval, Share


@dataclass(frozen=True)
class ScoreDifference:
    """One metric of two models in one search."""

    search: str
    """Which queries: of `seen` or `unseen` products, `all` of them, or `queries`, those that were given."""
    metric: str
    """Name of the metric."""
    first: "Share | None"
    """Score of the first model; null where no query can be scored."""
    second: "Share | None"
    """Score of the second model."""
    difference: "Difference | None"
    """Score of the first model minus that of the second."""
    interval95: "DifferenceInterval | None"
    """95 % interval of the difference, paired: the same queries, whole products drawn."""
    significant: bool
    """Whether the interval excludes 0."""


@dataclass(frozen=True)
class ModelsDiffReport:
    """Two models, scored on the same queries."""

    first: str
    """Fingerprint of the first model."""
    second: str
    """Fingerprint of the second model."""
    queries: "Count"
    """Queries that both models were scored by."""
    products: "Count"
    """Products of these queries."""
    basis: str
    """Where the queries come from, in words."""
    scores: tuple[ScoreDifference, ...]
    """A row for each search and metric."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
