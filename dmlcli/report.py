"""What each verb returns: frozen records that `cli/views/` turns into what is shown; those of query are in `hits`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from dmlcli.hits import Answer as Answer
from dmlcli.hits import Hit as Hit
from dmlcli.hits import Part as Part
from dmlcli.hits import Picture as Picture
from dmlcli.hits import QueryReport as QueryReport
from dmlcli.hits import Skipped as Skipped
from dmlcli.hits import Stage as Stage

Severity = Literal["problem", "notice"]


@dataclass(frozen=True)
class TrainReport:
    """What training made. Scores are MAP@R in validation, in [0, 1]; None where nothing could be held out."""

    run: str
    model: str
    fingerprint: str
    images: int
    products: int
    validation: str
    frozen_score: float | None
    score: float | None
    chosen: str
    seconds: float
    index: str | None
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()
    searches: dict[str, dict[str, float]] = field(default_factory=dict)  # known, new: MAP@R of frozen and chosen


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
    unusual: tuple[str, ...] = ()  # about the catalogue, and what follows from it
    deeper: str = ""  # what --tune auto does after the head, and why
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class EmbedReport:
    """What embedding made, and how many of the images had to be computed."""

    output: str
    images: int
    computed: int
    dim: int
    dtype: str
    views: str  # what was averaged, "" for one plain view
    model: str
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class IndexReport:
    """What indexing made; `recall` is that of the ten nearest, as measured, 1 where the index is exact."""

    output: str
    images: int
    products: int
    dim: int
    kind: str
    model: str | None
    recall: float
    microseconds: float | None  # a query, alone, on one thread; None where it was not measured
    memory: int  # bytes that searching needs
    why: str
    added: int
    removed: int
    skipped: tuple[Skipped, ...] = ()
    parity: float | None = None  # of a collection: share of the ten nearest that exact search of the vectors finds too


@dataclass(frozen=True)
class Inflation:
    """Evidence that leave-one-out finds series or copies again: shares of right first hits, and Recall@1 without."""

    kind: str  # series, neighbour (the next number) or copy
    share: float  # of the right first hits that are of this kind
    expected: float  # ... if any right photo were as likely to come first
    recall_at_1: float
    without: float  # Recall@1 where photos of this kind may not be found
    queries: int  # that could be searched without


@dataclass(frozen=True)
class GroupScore:
    """Scores of the queries of one product or category, in [0, 1], and what its photos are most often taken for."""

    name: str
    queries: int
    recall_at_1: float
    map_at_r: float | None
    taken_for: str = ""
    times: int = 0
    image: str = ""  # a query that was not found, and what came first
    taken_for_image: str = ""
    box: Part = None
    taken_for_box: Part = None


@dataclass(frozen=True)
class Confusion:
    """How many of one product's photos have the other product first."""

    product: str
    taken_for: str
    times: int
    queries: int
    image: str
    taken_for_image: str
    box: Part = None
    taken_for_box: Part = None


@dataclass(frozen=True)
class Miss:
    """A query whose first hit is wrong: the rank of its first right image, and what came first."""

    query: str
    product: str
    rank: int
    hits: tuple[Hit, ...]
    box: Part = None


@dataclass(frozen=True)
class Histogram:
    """How often the closest right and the closest wrong image had which similarity, in equal bins of [low, high]."""

    low: float
    high: float
    right: tuple[int, ...]
    wrong: tuple[int, ...]


@dataclass(frozen=True)
class Threshold:
    """What a lowest score (`query --min-score`) does: shares in [0, 1]."""

    score: float
    false_accepts: float  # of photos of products that are not in the gallery: answered all the same
    answered: float  # of photos of products that are: any answer
    right: float  # ... and the right one


@dataclass(frozen=True)
class Insight:
    """Where the search fails: the worst first in every list."""

    products: tuple[GroupScore, ...]
    categories: tuple[GroupScore, ...]
    misses: tuple[Miss, ...]
    confusions: tuple[Confusion, ...]
    histogram: Histogram | None
    thresholds: tuple[Threshold, ...]
    shape: dict[str, float | int | None]


@dataclass(frozen=True)
class Against:
    """Another model or embedding on the same queries; differences are this one minus the other, intervals paired."""

    name: str
    metrics: dict[str, float | None]
    difference: dict[str, float | None]
    interval95: dict[str, tuple[float, float] | None]
    evidence: dict[str, bool]  # whether the interval leaves out 0


@dataclass(frozen=True)
class Reranked:
    """What one re-ranking makes of the scores; differences are re-ranked minus plain, intervals paired."""

    name: str  # with what was set otherwise than usual: aqe:k=3
    metrics: dict[str, float | None]
    plain: dict[str, float | None]
    difference: dict[str, float | None]
    interval95: dict[str, tuple[float, float] | None]  # of the difference
    evidence: dict[str, bool]  # whether the interval leaves out 0
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


@dataclass(frozen=True)
class EvalPlan:
    """What eval would do (`--dry-run`): who is searched among whom, and what it takes."""

    protocol: str
    scope: str
    queries: int
    gallery: int
    dim: int
    to_embed: int  # images not known from an earlier run
    peak_bytes: int  # of memory: vectors, and one block of similarities
    seconds: float  # of searching; embedding comes on top
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Contender:
    """One line of a comparison: scores on new products, and the gain in MAP@R over the frozen backbone."""

    name: str
    recall_at_1: float
    map_at_r: float
    interval95: tuple[float, float] | None  # of MAP@R
    gain: float
    gain_interval95: tuple[float, float] | None  # paired: the same queries, whole products drawn
    known_recall_at_1: float | None  # of new photos of the products trained on
    known_map_at_r: float | None
    seconds: float
    trouble: str = ""


@dataclass(frozen=True)
class CompareReport:
    """Which loss suits these photos; the best first."""

    images: int
    products: int
    protocol: str
    contenders: tuple[Contender, ...]
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class LossSetting:
    """One setting of a loss: what it takes (`float`, `int`, words, …), its default, and what it means."""

    name: str
    takes: tuple[str, ...]
    default: Any
    meaning: str


@dataclass(frozen=True)
class LossRow:
    """One loss, told in full; `published` is Recall@1 in percent, † where it is from memory of the paper."""

    name: str
    family: str
    sampler: str
    takes_references: bool
    learning_rate_factor: float
    summary: str
    formula: str
    use: str
    published: str
    source: str
    settings: tuple[LossSetting, ...]
    parameters: dict[str, str]  # learned ones: name to shape


@dataclass(frozen=True)
class LossesReport:
    """The losses that `--loss` knows."""

    losses: tuple[LossRow, ...]


@dataclass(frozen=True)
class RunRow:
    """One training run: `going`, `interrupted` (--resume goes on with it) or `done`; best MAP@R in validation."""

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


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a catalogue; a notice is odd, but nothing that harms."""

    path: str  # of the image, or the product where the problem is one of all its images
    problem: str
    other: str  # the second image of a pair, "" where there is none
    suggestion: str
    severity: Severity = "problem"
    detail: str = ""


@dataclass(frozen=True)
class Census:
    """How many there are of everything in a catalogue; `histogram` is products by number of images."""

    images: int
    products: int
    categories: int
    without_product: int
    splits: dict[str, int]
    histogram: tuple[tuple[int, int, int], ...]  # fewest images, most images, products between


@dataclass(frozen=True)
class DoctorReport:
    """What a catalogue holds, and what is wrong with it, as it is found."""

    catalog: str
    root: str
    census: Census
    problems: Iterable[Problem]


@dataclass(frozen=True)
class Alike:
    """One image or product of a group; score is the cosine to the one in the group that it is closest to."""

    product: str
    image: str
    score: float


@dataclass(frozen=True)
class DuplicatesReport:
    """Groups of images, or products, that are near-identical by their embeddings; the largest group first."""

    index: str
    threshold: float
    of: Literal["images", "products"]
    searched: int
    groups: tuple[tuple[Alike, ...], ...]
    caution: str = ""

    @property
    def says_no(self) -> bool:
        """Whether there are none."""
        return not self.groups
