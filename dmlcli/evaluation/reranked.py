"""Evaluation of re-ranking: the first hits of each query re-ranked and scored.

Each way sees what it sees in `query --rerank`: a query, and its closest images, never more. What lies deeper keeps its
rank. Ties count against the search before and after.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dmlcli.ranking import Similarities, rank
from dmlcli.search.rerank import Rerank
from dmlcli.types import Ranks, Scores


@dataclass
class Reranking:
    """One re-ranking method and its results."""

    way: Rerank
    rankings: list[Ranks] = field(default_factory=list)  # by query
    seconds: float = 0.0  # that it took for all of them


class Reranker:
    """Sees a search query by query, and puts the first hits of each into the order of every way."""

    def __init__(self, ways: Sequence[Rerank], queries: Scores, gallery: Scores) -> None:
        """Watch a search of `queries` (Q, D) in the `gallery` (G, D)."""
        self._queries, self._gallery = queries, gallery
        self._depth = max(way.depth for way in ways)
        self.made = [Reranking(way, [np.empty(0, dtype=np.int64)] * len(queries)) for way in ways]

    def observe(self, found: Similarities) -> None:
        """Take what one query found."""
        rows, ranks = found.top(self._depth)
        query, candidates = self._queries[found.query], np.ascontiguousarray(self._gallery[rows])  # (D,), (K, D)
        for one in self.made:
            began = time.perf_counter()
            one.rankings[found.query] = reordered(ranks, query, candidates[: one.way.depth], one.way)
            one.seconds += time.perf_counter() - began


def reordered(ranks: Ranks, query: Scores, candidates: Scores, way: Rerank) -> Ranks:
    """Return the ranks (R,) of the relevant images after re-ranking the first hits.

    Args:
        ranks: (R,) the ranks of the relevant images before.
        query: (D,) the query.
        candidates: (K, D) the first K hits, best first.
        way: the re-ranking method.
    """
    inside = ranks <= len(candidates)
    if not inside.any():
        return ranks
    scores = way(query, candidates)
    is_right = np.zeros(len(candidates), np.bool_)
    is_right[ranks[inside] - 1] = True
    right = -np.sort(-scores[is_right])
    return np.concatenate([rank(right, scores[~is_right]), ranks[~inside]])


def seconds_a_query(ways: Sequence[Rerank], gallery: int, dim: int) -> float:
    """Estimate the seconds that all methods together take per query, measured with random vectors.

    Args:
        ways: the re-ranking methods.
        gallery: number of gallery images.
        dim: dimensions of the vectors.
    """
    rng = np.random.default_rng(0)
    depth = min(max(way.depth for way in ways), gallery)
    rows = rng.normal(size=(depth + 1, dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for way in ways:  # once before it counts
        way(rows[0], rows[1 : way.depth + 1])
    began = time.perf_counter()
    for way in ways:
        way(rows[0], rows[1 : way.depth + 1])
    return time.perf_counter() - began
