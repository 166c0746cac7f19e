"""FAISS's graphs (HNSW) with every row within reach.

A row is linked from its neighbors, but each keeps only so many links and prefers those that lead elsewhere: now and
then a row loses the last link to it, and then no search finds it, however broad. Here it gets one back.
"""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli.types import Ids

_BLOCK = 1 << 16  # rows whose links are followed at once


def connect(graph: Any) -> int:
    """Link rows that are out of reach from the row within reach that is closest to them, in place; how many remain."""
    links = _Links(graph.hnsw)
    lost, before = links.lost(), len(links.starts)
    while 0 < len(lost) < before:
        before = len(lost)
        _, closest = graph.search(graph.storage.reconstruct_batch(lost), 1)
        # one at a time from each: those that are alike may be linked among themselves
        for row, place in zip(*np.unique(closest[:, 0], return_index=True), strict=True):
            links.add(int(row), int(lost[place]))
        lost = links.lost()
    return len(lost)


class _Links:
    """The links of each row on the lowest level, where all rows are; -1 where a place is free."""

    def __init__(self, hnsw: Any) -> None:
        import faiss

        self._entry = int(hnsw.entry_point)
        self._all: NDArray[np.int32] = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
        self._width = np.arange(hnsw.nb_neighbors(0))
        self.starts: Ids = faiss.vector_to_array(hnsw.offsets)[:-1].astype(np.int64)

    @cached_property
    def _leading(self) -> Ids:
        """How many links lead to each row."""
        return np.bincount(self._all[self._all >= 0], minlength=len(self.starts))

    def add(self, row: int, to: int) -> None:
        """Link a row to another, if need be in place of the link to the row that most others lead to."""
        places = self.starts[row] + self._width
        free = places[self._all[places] < 0]
        place = free[0] if len(free) else places[self._leading[self._all[places]].argmax()]
        if not len(free):
            self._leading[self._all[place]] -= 1
        self._leading[to] += 1
        self._all[place] = to

    def lost(self) -> Ids:
        """The rows that no way leads to from where searches enter."""
        reached = np.zeros(len(self.starts), np.bool_)
        edge: Ids = np.array([self._entry][: len(reached)], dtype=np.int64)
        while len(edge):
            reached[edge] = True
            ahead = np.zeros_like(reached)
            for start in range(0, len(edge), _BLOCK):
                linked = self._all[self.starts[edge[start : start + _BLOCK], None] + self._width]
                ahead[linked[linked >= 0]] = True
            edge = np.flatnonzero(ahead & ~reached)
        return np.flatnonzero(~reached)
