"""Error analysis of an evaluation: failures, confused products, groups."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmlcli.report.query import Hit, Part

if TYPE_CHECKING:
    from dmlcli.report.units import Cosine, Count, Place, Share


@dataclass(frozen=True)
class GroupScore:
    """Scores of the queries of one product or category, and what its photos are most often confused with."""

    name: str
    """The product or category."""
    queries: "Count"
    """Its queries."""
    recall_at_1: "Share"
    """Recall@1 of these."""
    map_at_r: "Share | None"
    """MAP@R of these; null where it cannot be computed."""
    confused_with: str = ""
    """The product that most often comes first instead; empty where none does."""
    times: "Count" = 0
    """How often that one comes first."""
    image: str = ""
    """Path of a query that was not found; empty where all were."""
    taken_for_image: str = ""
    """Path of the image that came first instead."""
    box: Part = None
    """Part of the query that was searched with: left, top, right, bottom in pixels; null for all of it."""
    taken_for_box: Part = None
    """Part of the image that came first."""


@dataclass(frozen=True)
class Confusion:
    """How many of one product's photos have another product first."""

    product: str
    """The product that was searched with."""
    confused_with: str
    """The product that came first."""
    times: "Count"
    """How often it did."""
    queries: "Count"
    """Queries of the product."""
    image: str
    """Path of the query with the highest wrong score."""
    taken_for_image: str
    """Path of the image that came first."""
    box: Part = None
    """Part of the query that was searched with: left, top, right, bottom in pixels; null for all of it."""
    taken_for_box: Part = None
    """Part of the image that came first."""


@dataclass(frozen=True)
class Miss:
    """A query whose first hit is wrong, and what came first."""

    query: str
    """Path of the query."""
    product: str
    """Its product."""
    rank: "Place"
    """Rank of the first right image."""
    hits: tuple[Hit, ...]
    """The first hits."""
    box: Part = None
    """Part of the query that was searched with: left, top, right, bottom in pixels; null for all of it."""


@dataclass(frozen=True)
class Histogram:
    """How often the closest right and the closest wrong image had which similarity, in equal bins of [low, high]."""

    low: float
    """Lower end of the first bin."""
    high: float
    """Upper end of the last bin."""
    right: "tuple[Count, ...]"
    """Queries by the similarity of the closest right image, in each bin."""
    wrong: "tuple[Count, ...]"
    """Queries by the similarity of the closest wrong image, in each bin."""


@dataclass(frozen=True)
class Threshold:
    """What a lowest score (`query --min-score`) does."""

    score: "Cosine"
    """The lowest score."""
    false_accepts: "Share"
    """Share of the photos of products not in the gallery that are answered all the same."""
    answered: "Share"
    """Share of the photos of products in the gallery that are answered, right or wrong."""
    right: "Share"
    """Share of the photos of products in the gallery that are answered right."""


@dataclass(frozen=True)
class Insight:
    """Where the search fails: the worst first in every list."""

    products: tuple[GroupScore, ...]
    """Scores by product."""
    categories: tuple[GroupScore, ...]
    """Scores by category."""
    misses: tuple[Miss, ...]
    """The queries with the highest wrong scores, at most three of one product."""
    confusions: tuple[Confusion, ...]
    """Pairs of products that are confused."""
    histogram: Histogram | None
    """Similarities of right and wrong images; null where one of them is missing."""
    thresholds: tuple[Threshold, ...]
    """What some lowest scores do."""
    shape: dict[str, float | int | None]
    """Facts about the gallery's embeddings (docs/evaluation.md); empty for ranked lists."""
