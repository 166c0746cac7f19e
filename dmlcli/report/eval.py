"""What an evaluation returns: the scores, what they are worth, and what they are compared with."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dmlcli.report.error_analysis import Insight
from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Count, DifferenceInterval, Interval, Metric, MetricDifference, Milliseconds, Share


InflationKind = Literal["series", "neighbor", "copy"]


@dataclass(frozen=True)
class Inflation:
    """Evidence that leave-one-out finds series or copies again."""

    kind: InflationKind
    """What the first hits are: of the same series, the next number in it, or a copy."""
    share: "Share"
    """Share of the right first hits that are of this kind."""
    expected: "Share"
    """That share if any right photo were as likely to come first."""
    recall_at_1: "Share"
    """Recall@1 of these queries."""
    without: "Share"
    """Recall@1 where photos of this kind may not be found."""
    queries: "Count"
    """Queries that could be searched without such photos."""


@dataclass(frozen=True)
class Against:
    """Another model or embedding on the same queries; differences are this one minus the other, intervals paired."""

    name: str
    """Path of the other one."""
    metrics: "dict[str, Metric | None]"
    """Its scores."""
    difference: "dict[str, MetricDifference | None]"
    """This one's scores minus its scores."""
    interval95: "dict[str, DifferenceInterval | None]"
    """95 % interval of each difference; null where a metric has no value for each query."""
    significant: dict[str, bool]
    """Whether the interval excludes 0."""


@dataclass(frozen=True)
class Reranked:
    """What one re-ranking makes of the scores; differences are re-ranked minus plain, intervals paired."""

    name: str
    """The re-ranking, with what was set otherwise than usual: aqe:k=3."""
    metrics: "dict[str, Metric | None]"
    """Scores after re-ranking."""
    plain: "dict[str, Metric | None]"
    """Scores before."""
    difference: "dict[str, MetricDifference | None]"
    """Scores after minus before."""
    interval95: "dict[str, DifferenceInterval | None]"
    """95 % interval of each difference."""
    significant: dict[str, bool]
    """Whether the interval excludes 0."""
    milliseconds: "Milliseconds"
    """Time of re-ranking a query, in milliseconds."""


@dataclass(frozen=True)
class CatalogScores:
    """The queries of one of several catalogs, searched in one of them or in all."""

    queries_of: str
    """Name of the catalog that the queries are from."""
    gallery_of: str | None
    """Name of the catalog that was searched; null: all of them."""
    queries: "Count"
    """Queries with a product."""
    products: "Count"
    """Products of these queries."""
    gallery: "Count"
    """Images that were searched in."""
    without_positive: "Count"
    """Queries whose product has no image to find there."""
    metrics: "dict[str, Share | None]"
    """Recall@1 and MAP@R; null where no query has an image to find."""
    interval95: "dict[str, Interval | None]"
    """95 % interval of each score."""


@dataclass(frozen=True)
class PublishedRow:
    """One published result."""

    method: str
    """The method."""
    year: "Count"
    """When it was published."""
    network: str
    """The backbone."""
    dim: "Count | None"
    """Length of its embedding; null where the paper does not say."""
    recall: "dict[str, Share | None]"
    """Recall by metric (recall@1, …); null where the paper does not say."""
    source: str
    """The paper."""
    mark: str
    """V: read in the source. M: from memory, within about 0.3 %."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The queries whose first product has a confidence from `low` up to `high`."""

    low: "Share"
    """The least confidence."""
    high: "Share"
    """The confidence that is not reached, except 1."""
    queries: "Count"
    """How many queries these are."""
    confidence: "Share"
    """The mean of their confidences."""
    right: "Share"
    """The share of them whose first product is right."""


@dataclass(frozen=True)
class Reliability:
    """How well the confidences of the first products agree with the share of right ones."""

    expected_calibration_error: "Share"
    """Mean difference of confidence and share over ten bins of confidence, weighted by their queries."""
    confidence: "Share"
    """Mean confidence of the first product."""
    right: "Share"
    """Share of queries whose first product is right."""
    bins: tuple[ReliabilityBin, ...]
    """The bins that hold queries."""


@dataclass(frozen=True)
class EvalReport:
    """Scores of a search, with 95 % intervals from a bootstrap over products."""

    protocol: str
    """query/gallery or leave-one-out."""
    queries: "Count"
    """Images that were searched with."""
    gallery: "Count"
    """Images that were searched in."""
    products: "Count"
    """Products of the queries."""
    trained_products: "Count"
    """How many of these products the model was trained on."""
    without_positive: "Count"
    """Queries whose product has no image to find."""
    metrics: "dict[str, Metric | None]"
    """Score by metric (docs/evaluation.md); null where it has no value."""
    interval95: "dict[str, Interval | None]"
    """95 % interval of each score; null where a metric has no value for each query."""
    model: str | None
    """Folder of the model; null where it is not known."""
    seed: int
    """Random seed of the bootstrap."""
    caution: str = ""
    """What is wrong with the model; empty where nothing is."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""
    scope: str = "all images"
    """Who is searched among whom, in words."""
    excluded: str = ""
    """What a query may not find, in words; empty where it may find everything."""
    includes_training: bool = False
    """Whether photos that the model was trained on are among the queries."""
    missing_as_zero: bool = False
    """Whether queries without an image to find count, as 0."""
    warnings: tuple[str, ...] = ()
    """Warnings."""
    inflation: Inflation | None = None
    """Evidence that leave-one-out is too easy; null where there is none."""
    insight: Insight | None = None
    """Where the search fails."""
    reliability: Reliability | None = None
    """The calibration of the confidences; null where the model has none."""
    against: Against | None = None
    """The comparison of `--against`; null without."""
    reranked: tuple[Reranked, ...] = ()
    """What each `--rerank` gains."""
    by_catalog: tuple[CatalogScores, ...] = ()
    """Scores of each catalog, and of searches from one in another; empty for one catalog."""
    published: tuple[PublishedRow, ...] = ()
    """Published results on the data set of `--published`."""
    failed: tuple[str, ...] = ()
    """The scores below `--fail-under`, in words."""
    page: str | None = None
    """Path of the page that `--html` wrote; null without."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Fingerprints of model, queries and gallery."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of dmlcli, Python and NumPy."""

    @property
    def says_no(self) -> bool:
        """Whether nothing was scored, or a score is below `--fail-under`."""
        return bool(self.failed) or all(value is None for value in self.metrics.values())
