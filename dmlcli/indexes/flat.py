"""A small exact index searched straight from its file: the first answers come before FAISS could even be imported.

FAISS writes an exact index as two headers, the rows, and their ids. One query is one pass over the rows, which NumPy
makes as well; where more is asked (many queries, a filter), FAISS is loaded and does the rest.
"""

import struct
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlcli.indexes.item_table import NO_IDS
from dmlcli.types import Ids, Scores, Vectors

if TYPE_CHECKING:
    from dmlcli.indexes.searcher import Searcher

LARGEST = 1 << 26  # bytes of rows that are read for one answer
_FEW = 4  # queries, until FAISS is worth its import
_AT_ONCE = 1 << 20  # bytes of rows
_HEADER = struct.Struct("<4s i q q q ? i")  # kind, dimensions, rows, two unused, is trained, metric
_COUNT = struct.Struct("<Q")
_START = 2 * _HEADER.size + _COUNT.size  # of the rows
_INNER_PRODUCT = 0


class Flat:
    """What a Searcher does, for an exact index in a file, without FAISS as long as one query comes at a time."""

    def __init__(self, file: Path) -> None:
        """Open the file; raise ValueError if it is not a small exact index with ids (FAISS may still read it)."""
        self._asked = 0
        with file.open("rb") as stream:
            self._bytes = mmap(stream.fileno(), 0, access=ACCESS_READ)  # stays, whatever takes the place of the file
        try:
            outer, inner = (_HEADER.unpack_from(self._bytes, place * _HEADER.size) for place in range(2))
            (numbers,) = _COUNT.unpack_from(self._bytes, 2 * _HEADER.size)
            _, self.dim, self.total, *_, metric = outer
            known = outer[0] in (b"IxMp", b"IxM2") and inner[0] == b"IxFI" and metric == _INNER_PRODUCT
            if not known or outer[1:3] != inner[1:3] or numbers != self.total * self.dim or 4 * numbers > LARGEST:
                raise ValueError(f"{file.name} holds no small exact index")
            end = _START + 4 * numbers
            (count,) = _COUNT.unpack_from(self._bytes, end)
            self.ids: Ids = np.frombuffer(self._bytes[end + _COUNT.size :], dtype="<i8")
        except struct.error as error:
            raise ValueError(f"{file.name} is cut short") from error
        if not count == self.total == len(self.ids) or not count:
            raise ValueError(f"{file.name} is cut short")

    @cached_property
    def _searcher(self) -> "Searcher":
        import faiss

        from dmlcli.indexes.searcher import Searcher

        self._bytes.seek(0)
        return Searcher(faiss.read_index(faiss.PyCallbackIOReader(self._bytes.read)))

    @property
    def index(self) -> Any:
        """The FAISS index."""
        return self._searcher.index

    @property
    def rescore_factor(self) -> int:
        """Nothing is scored again."""
        return 0

    @property
    def dead(self) -> Ids:
        """Nothing is left over from what was removed."""
        return NO_IDS

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> "tuple[Scores, Ids]":
        """Search exactly; see `Searcher.search`.

        Args:
            queries: (Q, D).
            k: number of neighbors.
            among: the ids that may be found; None: all.
        """
        self._asked += len(queries)
        if among is not None or self._asked > _FEW or len(queries) != 1:
            return self._searcher.search(queries, k, among)
        query = np.ascontiguousarray(queries[0], dtype=np.float32)
        scores = np.empty(self.total, np.float32)
        rows = max(1, _AT_ONCE // (4 * self.dim))
        for start in range(0, self.total, rows):
            stop = min(start + rows, self.total)
            block = self._bytes[_START + 4 * start * self.dim : _START + 4 * stop * self.dim]  # a copy, so aligned
            scores[start:stop] = np.frombuffer(block, dtype="<f4").reshape(-1, self.dim) @ query
        k = min(k, self.total)
        best = np.argpartition(-scores, k - 1)[:k]
        best = best[np.lexsort((best, -scores[best]))]
        return scores[best][None], self.ids[best][None]

    def vectors(self, ids: Ids) -> Vectors:
        """As Searcher does, also without FAISS."""
        places = np.searchsorted(self.ids, ids)
        known = places < self.total
        known[known] = self.ids[places[known]] == ids[known]
        if not known.all():
            raise KeyError(int(ids[~known][0]))
        rows = np.empty((len(ids), self.dim), np.float32)
        for row, place in enumerate(places.tolist()):
            rows[row] = np.frombuffer(self._bytes, "<f4", self.dim, _START + 4 * place * self.dim)
        return rows
