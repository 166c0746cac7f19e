"""What an evaluation returns: the scores, what they are worth, and what they are compared with."""

from dataclasses import dataclass, field

from dmlcli.report.error_analysis import Insight
from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class Inflation:
    """Evidence that leave-one-out finds series or copies again: shares of right first hits, and Recall@1 without."""

    kind: str  # series, neighbor (the next number) or copy
    share: float  # of the right first hits that are of this kind
    expected: float  # ... if any right photo were as likely to come first
    recall_at_1: float
    without: float  # Recall@1 where photos of this kind may not be found
    queries: int  # that could be searched without


@dataclass(frozen=True)
class Against:
    """Another model or embedding on the same queries; differences are this one minus the other, intervals paired."""

    name: str
    metrics: dict[str, float | None]
    difference: dict[str, float | None]
    interval95: dict[str, tuple[float, float] | None]
    significant: dict[str, bool]  # whether the 95 % interval excludes 0


@dataclass(frozen=True)
class Reranked:
    """What one re-ranking makes of the scores; differences are re-ranked minus plain, intervals paired."""

    name: str  # with what was set otherwise than usual: aqe:k=3
    metrics: dict[str, float | None]
    plain: dict[str, float | None]
    difference: dict[str, float | None]
    interval95: dict[str, tuple[float, float] | None]  # of the difference
    significant: dict[str, bool]  # whether the 95 % interval excludes 0
    milliseconds: float  # a query


@dataclass(frozen=True)
class PublishedRow:
    """One published result, Recall in [0, 1]; `mark` V was read in the source, M is from memory (about 0.3 %)."""

    method: str
    year: int
    network: str
    dim: int | None
    recall: dict[str, float | None]
    source: str
    mark: str


@dataclass(frozen=True)
class EvalReport:
    """Scores of a search, each in [0, 1], with 95 % intervals from a bootstrap over products."""

    protocol: str
    queries: int
    gallery: int
    products: int
    trained_products: int  # of these, how many the model was trained on
    without_positive: int
    metrics: dict[str, float | None]
    interval95: dict[str, tuple[float, float] | None]
    model: str | None
    seed: int
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()
    scope: str = "all images"  # who is searched among whom, in words
    excluded: str = ""  # what a query may not find, in words
    includes_training: bool = False  # whether photos that the model was trained on are among the queries
    missing_as_zero: bool = False  # whether queries without an image to find count, as 0
    warnings: tuple[str, ...] = ()
    inflation: Inflation | None = None
    insight: Insight | None = None
    against: Against | None = None
    reranked: tuple[Reranked, ...] = ()
    published: tuple[PublishedRow, ...] = ()
    failed: tuple[str, ...] = ()  # what `--fail-under` asked for and did not get
    page: str | None = None
    fingerprints: dict[str, str] = field(default_factory=dict)  # of model, queries and gallery
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def says_no(self) -> bool:
        """Whether there was nothing to score, or a score is lower than was asked for."""
        return bool(self.failed) or all(value is None for value in self.metrics.values())
