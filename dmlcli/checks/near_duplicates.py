"""Groups of near-identical vectors, without comparing all pairs.

Up to a few thousand vectors are compared with each other outright. More are sorted into cells first: some of
them, drawn at random, are pivots, each vector belongs to the cells of the four pivots closest to it, and only vectors
that share a cell are compared; a cell that is still too large is sorted again. Vectors close enough to be called copies
have nearly the same closest pivots, so next to nothing is missed, and the work grows like N·sqrt(N).
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.types import Rows

Fetch = Callable[[Rows], NDArray[np.float32]]  # rows to their unit vectors (B, D)

OUTRIGHT = 8192  # vectors that are compared with each other: a block of scores and their vectors fit into memory
_CLOSEST = 4  # pivots of a vector
_PIVOTS = 3  # times sqrt(N): finding the closest ones then takes about as long as comparing within cells
_DECIMALS = 4
_BLOCK = 1024  # rows of scores at a time
_MOST_LINKS = 64  # of one vector: what is close to so many is in a group anyway
_SEED = 0  # of the pivots: the same vectors give the same groups


class Groups(NamedTuple):
    """The group of each vector (N,), -1 for none, and its cosine to the closest member."""

    group: Rows
    score: NDArray[np.float32]
    crowded: bool  # some vector is close to more than _MOST_LINKS others


def group(count: int, fetch: Fetch, threshold: float, outright: int = OUTRIGHT) -> Groups:
    """Group vectors whose cosine is at least a threshold, directly or linked through others.

    Args:
        count: N, the number of vectors; rows are 0 to N - 1.
        fetch: returns the vectors of some rows; they need not fit into memory all at once.
        threshold: the smallest cosine of a pair.
        outright: size up to which a cell is compared exhaustively.
    """
    label = np.arange(count)
    score = np.full(count, -1, dtype=np.float32)
    crowded = False
    waiting: list[Rows] = []
    generator = np.random.default_rng(_SEED)
    for rows in _cells(np.arange(count), fetch, outright, generator):
        links, scores, full = _links(fetch(rows), threshold)
        crowded |= full
        if len(links):
            links = rows[links]
            for side in (0, 1):
                np.maximum.at(score, links[:, side], scores)
            waiting.append(links)
            if sum(map(len, waiting)) >= count:  # joining passes over all labels, so it is not done for every cell
                _join(label, np.concatenate(waiting))
                waiting.clear()
    if waiting:
        _join(label, np.concatenate(waiting))
    _, number, sizes = np.unique(label, return_inverse=True, return_counts=True)
    several = np.flatnonzero(sizes > 1)
    renamed = np.full(len(sizes), -1, dtype=np.int64)
    renamed[several] = np.arange(len(several))
    return Groups(renamed[number], score, crowded)


def _cells(rows: Rows, fetch: Fetch, outright: int, generator: np.random.Generator) -> Iterator[Rows]:
    """Yield overlapping cells of rows, none larger than `outright` unless all its vectors are equal."""
    if len(rows) <= outright:
        yield rows
        return
    number = max(2 * _CLOSEST * _CLOSEST, round(_PIVOTS * len(rows) ** 0.5))
    pivots = fetch(np.sort(generator.choice(rows, size=number, replace=False)))  # (P, D)
    closest = np.concatenate(
        [_closest(fetch(rows[start : start + _BLOCK]), pivots) for start in range(0, len(rows), _BLOCK)]
    )  # (R, _CLOSEST)
    order = np.argsort(closest, axis=None, kind="stable")
    members = rows[order // _CLOSEST]
    bounds = np.searchsorted(closest.reshape(-1)[order], np.arange(number + 1))
    for start, end in pairwise(bounds.tolist()):
        cell = members[start:end]
        if len(cell) > outright and 2 * len(cell) > len(rows):  # nearly equal vectors: compare each with its neighbors
            yield from (cell[at : at + outright] for at in range(0, len(cell), outright // 2))
        elif len(cell) > 1:
            yield from _cells(cell, fetch, outright, generator)


def _closest(vectors: NDArray[np.float32], pivots: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the pivots closest to each vector: (B, _CLOSEST).

    Scores are rounded: the last bits of a product depend on the position of a row in it, and equal vectors must choose
    equal pivots.
    """
    scores = (vectors @ pivots.T).round(_DECIMALS)
    return np.argpartition(scores, -_CLOSEST, axis=1)[:, -_CLOSEST:].copy()  # a view would keep all of it


def _links(vectors: NDArray[np.float32], threshold: float) -> tuple[Rows, NDArray[np.float32], bool]:
    """Return the pairs (L, 2) of a cell at or above the threshold, the smaller row first, with their cosines (L,)."""
    links, found, full = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0, dtype=np.float32)], False
    for start in range(0, len(vectors), _BLOCK):
        scores = vectors[start : start + _BLOCK] @ vectors[: start + _BLOCK].T  # (b, start + b)
        late, early = np.nonzero(scores >= threshold)
        before = early < late + start
        late, early = late[before], early[before]
        place = np.arange(len(late)) - np.searchsorted(late, late)  # among the links of its own row
        full |= bool((place >= _MOST_LINKS).any())
        late, early = late[place < _MOST_LINKS], early[place < _MOST_LINKS]
        links.append(np.stack([early, late + start], axis=1))
        found.append(np.minimum(scores[late, early], 1))
    return np.concatenate(links), np.concatenate(found), full


def _join(label: Rows, links: Rows) -> None:
    """Give linked rows one label, the smallest of them, in place; labels of labels are followed to their end."""
    while True:
        one, other = label[links[:, 0]], label[links[:, 1]]
        apart = one != other
        if not apart.any():
            return
        low, high = np.minimum(one[apart], other[apart]), np.maximum(one[apart], other[apart])
        np.minimum.at(label, high, low)
        while not np.array_equal(label, label[label]):
            label[:] = label[label]
