"""Where a search fails: what an evaluation tells beside the scores."""

from dataclasses import dataclass

from dmlcli.report.query import Hit, Part


@dataclass(frozen=True)
class GroupScore:
    """Scores of the queries of one product or category, in [0, 1], and what its photos are most often confused with."""

    name: str
    queries: int
    recall_at_1: float
    map_at_r: float | None
    confused_with: str = ""
    times: int = 0
    image: str = ""  # a query that was not found, and what came first
    taken_for_image: str = ""
    box: Part = None
    taken_for_box: Part = None


@dataclass(frozen=True)
class Confusion:
    """How many of one product's photos have the other product first."""

    product: str
    confused_with: str
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
