"""Between search and score: exact search of one set of vectors in another, told as the ranks of the relevant images.

The similarities pass by in blocks of queries and are never all in memory. Ties count against the search: whatever is
wrong and as close as something right is ranked before it, so a model that maps everything to one point scores 0.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]  # of one query's relevant images, ascending, from 1
Rows = NDArray[np.int64]
Scores = NDArray[np.float32]
TIE = np.float32(1e-6)  # cosine similarities closer than this are equal: float32 products are no finer
_ZERO = np.float32(-2)  # the similarity of a vector without length: below every cosine, so it is found last
_BLOCK_BYTES = 64 * 2**20
_FEW = 24  # relevant images up to which counting what is ahead of each is quicker than sorting everything


class Groups:
    """Which gallery rows carry the same name (product, category, source) as a query; an empty name is nobody's."""

    def __init__(self, query_names: Sequence[str], gallery_names: Sequence[str]) -> None:
        names, codes = np.unique([*query_names, *gallery_names], return_inverse=True)
        self.names = names.tolist()
        self.of_query, self.of_gallery = codes[: len(query_names)], codes[len(query_names) :]
        self._order = np.argsort(self.of_gallery, kind="stable")
        self._starts = np.searchsorted(self.of_gallery[self._order], np.arange(len(names) + 1))

    def rows(self, query: int) -> Rows:
        """The gallery rows that carry the query's name, ascending."""
        code = self.of_query[query]
        return self._order[self._starts[code] : self._starts[code + 1]] if self.names[code] else self._order[:0]


class Found(NamedTuple):
    """One query's similarities, told apart."""

    query: int
    right: Scores  # (R,) to the images of its product, closest first
    right_rows: Rows  # (R,) which gallery rows these are
    wrong: Scores  # (G,) to all others, -inf where a row is no candidate; overwritten when the next query is taken


def search(
    queries: Scores,
    gallery: Scores,
    products: Groups,
    *,
    excluded: Callable[[int], Rows] | None = None,
    block: int | None = None,
) -> Iterator[Found]:
    """Search every query (Q, D) among the gallery (G, D), both of unit length; memory is `block_rows(G)` x G floats.

    Args:
        products: what is right for each query.
        excluded: the gallery rows that a query may not find (its own, those of its session); none by default.
    """
    block = block or block_rows(len(gallery))
    buffer = np.empty((min(block, len(queries)), len(gallery)), dtype=np.float32)
    lengthless = np.flatnonzero(~gallery.any(axis=1))
    for start in range(0, len(queries), block):
        scores = buffer[: len(queries[start : start + block])]
        np.matmul(queries[start : start + block], gallery.T, out=scores)
        scores[:, lengthless] = _ZERO
        for query, row in enumerate(scores, start=start):
            if excluded is not None:
                row[excluded(query)] = -np.inf
            rows = products.rows(query)
            right = row[rows]
            rows, right = rows[right > -np.inf], right[right > -np.inf]
            order = np.argsort(-right, kind="stable")
            row[products.rows(query)] = -np.inf
            yield Found(query, right[order], rows[order], row)


def block_rows(gallery: int) -> int:
    """How many queries are searched at once among so many images."""
    return max(1, min(1024, _BLOCK_BYTES // (4 * max(gallery, 1))))


def rank(right: Scores, wrong: Scores) -> Ranks:
    """Ranks of one query's relevant images.

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


def rankings(
    queries: Scores,
    gallery: Scores,
    query_products: Sequence[str],
    gallery_products: Sequence[str],
    *,
    own_rows: Rows | None = None,
    block: int | None = None,
) -> list[Ranks]:
    """The ranks of every query's relevant images.

    Args:
        own_rows: (Q,) the gallery row that is the query itself and may not be returned; None where there is none.
    """
    excluded = None if own_rows is None else lambda query: own_rows[query : query + 1]
    found = search(queries, gallery, Groups(query_products, gallery_products), excluded=excluded, block=block)
    return [rank(one.right, one.wrong) for one in found]
