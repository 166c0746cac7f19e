"""The rank of the right product of a query among all products."""

from collections.abc import Sequence

import numpy as np

from dmlcli.product_score import COMPARED, product_score
from dmlcli.ranking.relevance import TIE
from dmlcli.types import Rows, Scores


class ProductRanks:
    """Ranks the right product of each query among all products of a gallery."""

    def __init__(self, gallery_products: Sequence[str], weight: float) -> None:
        """Take the product of each gallery image (G,), and the weight of `product_score`.

        Images without a product, "", are products of their own.
        """
        names = [name or f"\0{row}" for row, name in enumerate(gallery_products)]
        _, codes = np.unique(names, return_inverse=True)
        self._order = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes[self._order], np.arange(codes.max(initial=-1) + 2))
        self._weight = weight

    def rank(self, right: Scores, wrong: Scores) -> int:
        """Return the rank of the right product, ties counted against it.

        Products are found by their best image; the first of them are ordered by their score, as `query` does.

        Args:
            right: (R,) cosines of the images of the right product, best first, R >= 1.
            wrong: (G,) cosines of all other images, -inf where a row is not a candidate.
        """
        ordered = wrong[self._order]
        best = np.maximum.reduceat(ordered, self._starts[:-1])
        ahead = best >= right[0] - TIE
        if not self._weight or ahead.sum() >= COMPARED:
            return 1 + int(ahead.sum())
        score = product_score(right, self._weight) - TIE
        others = [product_score(self._of(ordered, place), self._weight) for place in _first(best)]
        return 1 + int(np.count_nonzero(np.array(others) >= score))

    def _of(self, ordered: Scores, place: int) -> Scores:
        """Return the cosines of the images of one product that are candidates."""
        cosines = ordered[self._starts[place] : self._starts[place + 1]]
        return cosines[cosines > -np.inf]


def _first(best: Scores) -> Rows:
    """Return the products with the best images, as many as are compared beside the right one."""
    some: Rows = np.flatnonzero(best > -np.inf)
    if len(some) < COMPARED:
        return some
    return some[np.argpartition(-best[some], COMPARED - 2)[: COMPARED - 1]]
