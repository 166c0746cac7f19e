"""What each verb returns: frozen records that `cli/views/` turns into what is shown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Skipped:
    """An input that could not be used, and why."""

    path: str
    reason: str


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


@dataclass(frozen=True)
class EmbedReport:
    """What embedding made, and how many of the images had to be computed."""

    output: str
    images: int
    computed: int
    dim: int
    model: str
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class IndexReport:
    """What indexing made."""

    output: str
    images: int
    products: int
    dim: int
    kind: str
    model: str | None
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class Hit:
    """One returned row; score is the cosine similarity in [-1, 1]."""

    rank: int
    score: float
    product: str
    image: str


@dataclass(frozen=True)
class Answer:
    """The hits of one query, best first."""

    query: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class QueryReport:
    """Answers as they come; `skipped` is complete once they have been taken."""

    index: str
    answers: Iterable[Answer]
    skipped: list[Skipped] = field(default_factory=list)


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

    @property
    def says_no(self) -> bool:
        """Whether there was nothing to score."""
        return self.metrics["map@r"] is None


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
class StatusReport:
    """What the workspace holds; each part is None where it is not there."""

    workspace: str | None
    model: dict[str, str] | None
    embeddings: dict[str, str] | None
    index: dict[str, str] | None
    next: str
    cautions: tuple[str, ...] = ()
