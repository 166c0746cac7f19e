"""Leave-one-out search that computes each similarity once for both of its images.

The matrix of all similarities is computed in square tiles on and above its diagonal only. No row of it is stored:
the right similarities of each query are computed first, and of the wrong ones each tile counts how many are as close as
each of those, and which is the closest. Queries stand in descending number of right images, so that those with a k-th
one are always the first of a tile.

Tiles are shared out among threads, each with a product of its own: a team of threads for one product would idle, busily
waiting, while its similarities are counted.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock

import numpy as np
from threadpoolctl import ThreadpoolController

from dmlcli.ranking.relevance import TIE, Found, Groups
from dmlcli.types import Rows, Scores

SIDE = 512  # a tile and what is counted in it stay in the second-level cache
_LANES = 8  # bytes that are summed at once, each up to 255


def search(gallery: Scores, own_rows: Rows, products: Groups, side: int = SIDE) -> Iterator[Found]:
    """Search rows of the gallery in the whole gallery, without finding themselves.

    Args:
        gallery: (G, D) unit vectors.
        own_rows: (Q,) the rows of the queries, each once.
        products: which rows are relevant to each query; a symmetric relation.
        side: side of a tile, a multiple of 8 up to 2040.
    """
    right = [_right(gallery, products.rows(query), own) for query, own in enumerate(own_rows)]
    turn = np.argsort([-len(rows) for _, rows in right], kind="stable")
    order = np.concatenate([own_rows[turn], np.setdiff1d(np.arange(len(gallery)), own_rows)])
    vectors = gallery[order]
    tally = _Tally([right[query][0] for query in turn])
    blas = ThreadpoolController().select(user_api="blas")
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    known = _Known([np.append(rows, own) for (_, rows), own in zip(right, own_rows, strict=True)], turn, order, side)

    def take(top: int, left: int) -> None:
        across, down = vectors[left : left + side], vectors[top : top + side]
        tile = np.full((side, side), -np.inf, dtype=np.float32)
        np.matmul(down, across.T, out=tile[: len(down), : len(across)])
        tile[known.within(top, left)] = -np.inf
        tally.add(tile, top, left)
        if left > top:
            tally.add(tile.T, left, top)

    for top in range(0, len(turn), side):
        with blas.limit(limits=1), ThreadPoolExecutor(threads) as pool:
            list(pool.map(partial(take, top), range(top, len(order), side)))
        for place, query in enumerate(turn[top : top + side], start=top):
            ahead, best, row = tally.of(place)
            scores, rows = right[query]
            ranks = ahead + np.arange(1, len(rows) + 1)
            yield Found(int(query), scores, rows, ranks, best, int(order[row]))


def _right(gallery: Scores, rows: Rows, own: int) -> tuple[Scores, Rows]:
    """Return the similarities to the images of the query's product, closest first, and their rows."""
    rows = rows[rows != own]
    scores = gallery[rows] @ gallery[own]
    order = np.argsort(-scores, kind="stable")
    return scores[order], rows[order]


class _Known:
    """Where the tiles show a query itself or its product: nothing there is wrong."""

    def __init__(self, rows: list[Rows], turn: Rows, order: Rows, side: int) -> None:
        """Take the `rows` of each query; `turn` and `order` map positions to queries and gallery rows."""
        place = np.argsort(order)
        self._side = side
        self._across = place[np.concatenate([rows[query] for query in turn])]
        self._down = np.repeat(np.arange(len(turn)), [len(rows[query]) for query in turn])
        self._tiles = len(order) // side + 1
        tile = self._down // side * self._tiles + self._across // side
        by_tile = np.argsort(tile, kind="stable")
        self._tile, self._down, self._across = tile[by_tile], self._down[by_tile], self._across[by_tile]

    def within(self, top: int, left: int) -> tuple[Rows, Rows]:
        """Return the places in one tile, as two indices."""
        tile = top // self._side * self._tiles + left // self._side
        first, last = np.searchsorted(self._tile, [tile, tile + 1])
        return self._down[first:last] - top, self._across[first:last] - left


class _Tally:
    """The counts of each query over the tiles so far."""

    def __init__(self, right: list[Scores]) -> None:
        """Take the `right` similarities of each query, descending, in descending order of their number."""
        self._sizes = np.array([len(scores) for scores in right])
        firsts = [int((self._sizes > k).sum()) for k in range(max(self._sizes, default=0))]
        self._limits = [np.array([scores[k] for scores in right[:n]]) - TIE for k, n in enumerate(firsts)]
        self._ahead = [np.zeros(n, dtype=np.int64) for n in firsts]
        self._best = np.full(len(right), -np.inf, dtype=np.float32)
        self._place = np.zeros(len(right), dtype=np.int64)
        self._lock = Lock()

    def add(self, tile: Scores, query: int, row: int) -> None:
        """Take the tile whose rows are the queries from `query` on, and whose columns the gallery from `row` on."""
        here = slice(query, query + len(tile))
        levels = [limits[here] for limits in self._limits if query < len(limits)]
        counts = [_at_least(tile[: len(limits)], limits) for limits in levels]
        best, place = self._best[here], self._place[here]
        closest = tile.max(axis=1)[: len(best)]
        with self._lock:
            for ahead, count in zip(self._ahead, counts, strict=False):  # the last levels have no query here
                ahead[here] += count
            # of equals the first, whichever tile is done first
            better = np.flatnonzero((closest > best) | ((closest == best) & (place > row)))
            best[better] = closest[better]
            place[better] = row + tile[better].argmax(axis=1)

    def of(self, place: int) -> tuple[Rows, float, int]:
        """Return how many are ahead of each right image, but for right ones; the closest wrong one, and its place."""
        ahead = np.array([self._ahead[k][place] for k in range(self._sizes[place])], dtype=np.int64)
        return ahead, float(self._best[place]), int(self._place[place])


def _at_least(tile: Scores, limits: Scores) -> Rows:
    """Return how many similarities in each row of (N, side) reach its limit (N,).

    The comparison is summed in bytes, many at once, which is several times as quick as numpy's own counting. A tile
    that is a transposed one has its memory down the columns.
    """
    reached = (tile >= limits[:, None]).view(np.uint8)
    if reached.flags.c_contiguous:
        lanes = reached.view(np.uint64).sum(axis=1).view(np.uint8).reshape(len(tile), _LANES)  # (N, 8)
    else:
        lanes = reached.reshape(len(tile), _LANES, -1).sum(axis=2, dtype=np.uint8)  # (N, 8)
    counts: Rows = lanes.sum(axis=1, dtype=np.int64)
    return counts
