"""Search with FAISS: the nearest ids, exact or approximate.

A searcher is a FAISS index of any kind over ids. If that index does not keep whole vectors, or cannot return a single
one, a second, exact index holds them, and the hits of the first are scored again by the second. So every score is a
cosine of vectors, whatever the kind, and an indexed image finds itself.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli.indexes import faiss_kinds
from dmlcli.indexes.item_table import NO_IDS
from dmlcli.types import Ids, Scores, Vectors

_FEW = 0.05  # share of the rows below which scoring all selected rows is faster than searching
_BLOCK = 1 << 24  # numbers that are held at once while rows are scored again
_TEAM = 8  # queries; fewer are searched on one thread, because waiting for a team costs more than it saves
LEAST = 10  # least number of neighbors that are searched for: recall was measured with it
Allowed = NDArray[np.bool_]  # of each id from 0, whether it may be found


@dataclass(frozen=True)
class Searcher:
    """An opened FAISS index over ids.

    Args:
        index: the FAISS index, of any kind.
        rows: an exact FAISS index of the same ids; None: `index` returns its vectors itself.
        rescore_factor: for k neighbors, this factor times k are taken from `index` and scored again by `rows`; 0: none,
            because `index` scores exactly.
        dead: ids that were removed but that `index` still holds, because its kind cannot remove them.
    """

    index: Any
    rows: Any = None
    rescore_factor: int = 0
    dead: Ids = field(default_factory=lambda: NO_IDS)

    @property
    def total(self) -> int:
        """How many ids can be found."""
        return int(self.index.ntotal) - len(self.dead)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.index.d)

    @cached_property
    def ids(self) -> Ids:
        """The ids in the order of the exact rows, ascending."""
        import faiss

        return faiss.vector_to_array((self.rows or self.index).id_map)  # type: ignore[no-any-return]

    @cached_property
    def _flat(self) -> Any:
        """The exact rows, by place."""
        inner = faiss_kinds.inner(self.rows or self.index)
        return faiss_kinds.downcast(inner.storage) if hasattr(inner, "storage") else inner

    def search(self, queries: Vectors, k: int, among: Ids | None = None) -> tuple[Scores, Ids]:
        """Return scores and ids of the nearest vectors, best first: two arrays (Q, n).

        n is k, or less if fewer ids may be found.

        Args:
            queries: (Q, D), unit length.
            k: number of neighbors.
            among: the ids that may be found; None: all.
        """
        faiss_kinds.use_all_cores(len(queries) >= _TEAM)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        allowed = self._allowed(among)
        count = self.total if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, count)
        if not k or not len(queries):
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        if allowed is not None and count < _FEW * self.total:
            return self._score(queries, k, np.flatnonzero(allowed))
        wanted = max(k, LEAST) * max(self.rescore_factor, 1)
        # a search among a share of the ids visits the others too, so it needs more effort to find as many
        effort = min(8, -(-self.total // count))
        scores, ids = self._search_index(queries, min(wanted, self.index.ntotal), allowed, effort)
        if self.rescore_factor:
            scores, ids = self._rescored(queries, ids)
        scores, ids = scores[:, :k], ids[:, :k]
        short = (ids[:, k - 1] < 0).nonzero()[0]
        if len(short):  # the visited cells held fewer than k
            scores[short], ids[short] = self._scan(queries[short], k, allowed)
        return scores, ids

    def vectors(self, ids: Ids) -> Vectors:
        """The unit vectors (n, D) of the ids, rounded to float16 where the rows are kept so.

        Raises:
            KeyError: an id that is not in the index, or was removed from it.
        """
        known = (ids >= 0) & (ids < len(self._alive))
        known[known] = self._alive[ids[known]]
        if not known.all():
            raise KeyError(int(ids[~known][0]))
        return self._vectors(ids)

    def _vectors(self, ids: Ids) -> Vectors:
        """The rows of ids that the index holds, be they removed or not."""
        if not len(ids):
            return np.zeros((0, self.dim), np.float32)
        return self._flat.reconstruct_batch(self._places(ids))  # type: ignore[no-any-return]

    @cached_property
    def _alive(self) -> Allowed:
        alive = np.zeros(int(self.ids[-1]) + 1, np.bool_)
        alive[self.ids] = True
        alive[self.dead] = False
        return alive

    def _allowed(self, among: Ids | None) -> Allowed | None:
        """Return which ids may be found; None: all that the index holds."""
        if among is None:
            return self._alive if len(self.dead) else None
        allowed = np.zeros_like(self._alive)
        ids = np.asarray(among, dtype=np.int64)
        allowed[ids[(ids >= 0) & (ids < len(allowed))]] = True
        return allowed & self._alive

    def _places(self, ids: Ids) -> Ids:
        """Where the ids lie among the exact rows."""
        if self.ids[-1] == len(self.ids) - 1:  # none was ever removed
            return ids
        places: Ids = np.searchsorted(self.ids, ids)
        return places

    def _search_index(self, queries: Vectors, k: int, allowed: Allowed | None, effort: int) -> tuple[Scores, Ids]:
        if allowed is None:
            return faiss_kinds.search(self.index, queries, k)
        try:
            return faiss_kinds.search(
                self.index, queries, k, faiss_kinds.parameters(self.index, faiss_kinds.selector(allowed), effort)
            )
        except RuntimeError:  # kinds without selectors return more rows, which are filtered here
            scores, ids = faiss_kinds.search(self.index, queries, min(2 * effort * k, self.index.ntotal))
        ids[~allowed[ids]] = -1
        best = np.argsort(ids < 0, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)

    def _rescored(self, queries: Vectors, ids: Ids) -> tuple[Scores, Ids]:
        """Return scores by the exact rows of the ids (Q, R), and the ids, best first."""
        scores = np.empty(ids.shape, np.float32)
        step = max(1, _BLOCK // (ids.shape[1] * self.dim))
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            rows = self._vectors(np.maximum(ids[block], self.ids[0]).ravel())  # (q R, D)
            rows = rows.reshape(*ids[block].shape, self.dim)
            scores[block] = np.matmul(rows, queries[block, :, None])[:, :, 0]
        scores[ids < 0] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(scores, best, 1), np.take_along_axis(ids, best, 1)

    def _score(self, queries: Vectors, k: int, allowed: Ids) -> tuple[Scores, Ids]:
        """The best k of a few, all of which are scored."""
        scores = queries @ self._vectors(allowed).T  # (Q, n)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(scores, best, 1), allowed[best]

    def _scan(self, queries: Vectors, k: int, allowed: Allowed | None) -> tuple[Scores, Ids]:
        """The best k by a scan of the exact rows."""
        places = None if allowed is None else faiss_kinds.selector(allowed[self.ids])
        scores, found = faiss_kinds.search(self._flat, queries, k, faiss_kinds.parameters(self._flat, places, 1))
        return scores, self.ids[found]
