"""Search row by row: every similarity of each query, for any queries in any gallery.

The similarities pass by in blocks of queries and are never all in memory.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from dmlcli.ranking.relevance import TIE, Found, Groups
from dmlcli.types import Ranks, Rows, Scores

_ZERO = np.float32(-2)  # the similarity of a vector without length: below every cosine, so it is found last
_BLOCK_BYTES = 64 * 2**20
_FEW = 24  # relevant images up to which counting what is ahead of each is quicker than sorting everything


class Similarities(NamedTuple):
    """One query's similarities, split into relevant and other images."""

    query: int
    right: Scores  # (R,) to the images of its product, closest first
    right_rows: Rows  # (R,) which gallery rows these are
    wrong: Scores  # (G,) to all others, -inf where a row is not a candidate; overwritten when the next query is taken

    def found(self) -> Found:
        """Return the result of the query."""
        best = int(self.wrong.argmax())
        return Found(
            self.query, self.right, self.right_rows, rank(self.right, self.wrong), float(self.wrong[best]), best
        )

    def top(self, depth: int) -> tuple[Rows, Ranks]:
        """Return the gallery rows of the first `depth` ranks (K,), and the ranks of all relevant images (R,)."""
        ranks = rank(self.right, self.wrong)
        inside = ranks[ranks <= depth] - 1
        wrong = _best(self.wrong, depth - len(inside))
        rows = np.empty(len(inside) + len(wrong), dtype=np.int64)
        is_right = np.zeros(len(rows), np.bool_)
        is_right[inside] = True
        rows[is_right], rows[~is_right] = self.right_rows[: len(inside)], wrong
        return rows, ranks


def search(
    queries: Scores,
    gallery: Scores,
    products: Groups,
    *,
    own_rows: Rows | None = None,
    excluded: Callable[[int], Rows] | None = None,
    block: int | None = None,
) -> Iterator[Similarities]:
    """Search every query in the gallery, and yield all its similarities; memory is `block_rows(G)` x G floats.

    Args:
        queries: (Q, D) unit vectors.
        gallery: (G, D) unit vectors.
        products: which gallery rows are relevant to each query.
        own_rows: (Q,) the gallery row of each query itself, which it may not find; None: queries are not in the
            gallery.
        excluded: returns other rows that a query may not find, such as its session.
        block: number of queries per matrix product; None: `block_rows(G)`.
    """
    block = block or block_rows(len(gallery))
    buffer = np.empty((min(block, len(queries)), len(gallery)), dtype=np.float32)
    lengthless = np.flatnonzero(~gallery.any(axis=1))
    for start in range(0, len(queries), block):
        scores = buffer[: len(queries[start : start + block])]
        np.matmul(queries[start : start + block], gallery.T, out=scores)
        scores[:, lengthless] = _ZERO
        for query, row in enumerate(scores, start=start):
            if own_rows is not None:
                row[own_rows[query]] = -np.inf
            if excluded is not None:
                row[excluded(query)] = -np.inf
            rows = products.rows(query)
            right = row[rows]
            rows, right = rows[right > -np.inf], right[right > -np.inf]
            order = np.argsort(-right, kind="stable")
            row[products.rows(query)] = -np.inf
            yield Similarities(query, right[order], rows[order], row)


def block_rows(gallery: int) -> int:
    """Return how many queries are searched at once among so many images."""
    return max(1, min(1024, _BLOCK_BYTES // (4 * max(gallery, 1))))


def rank(right: Scores, wrong: Scores) -> Ranks:
    """Return the ranks of one query's relevant images.

    Args:
        right: (R,) similarities to them, closest first.
        wrong: (G,) similarities to all others, -inf where they may not be found.

    >>> rank(np.float32([0.9, 0.1]), np.float32([0.9, 0.2, -np.inf])).tolist()
    [2, 4]
    """
    at_least = right - TIE
    if len(right) <= _FEW:
        ahead = np.array([np.count_nonzero(wrong >= score) for score in at_least], dtype=np.int64)
    else:
        ahead = len(wrong) - np.searchsorted(np.sort(wrong), at_least)
    return ahead + np.arange(1, len(right) + 1)


def _best(scores: Scores, count: int) -> Rows:
    """Return where the best of the finite scores stand, best first, at most `count` of them."""
    some = np.flatnonzero(scores > -np.inf)
    if count < len(some):
        some = some[np.argpartition(-scores[some], count)[:count]]
    return some[np.lexsort((some, -scores[some]))]
