"""The images of a gallery, grouped by product."""

from collections.abc import Sequence

import numpy as np

from dmlcli.types import Rows, Scores


class ProductImages:
    """Turns cosines with all images of a gallery into those of each of its C products.

    An image without a product, "", is a product of its own. Products are numbered in the order of their names.
    """

    def __init__(self, products: Sequence[str]) -> None:
        """Take the product of each image (G,)."""
        names = [name or f"\0{row}" for row, name in enumerate(products)]
        self.names, self.of_row = np.unique(names, return_inverse=True)  # (C,) and (G,)
        self._order = np.argsort(self.of_row, kind="stable")
        self._starts = np.searchsorted(self.of_row[self._order], np.arange(len(self.names) + 1))

    def ordered(self, cosines: Scores) -> Scores:
        """Return the cosines (G,), -inf where a row is not a candidate, product by product."""
        return cosines[self._order]

    def best(self, ordered: Scores) -> Scores:
        """Return the best of the ordered cosines of each product (C,)."""
        return np.asarray(np.maximum.reduceat(ordered, self._starts[:-1]))

    def of(self, ordered: Scores, product: int) -> Scores:
        """Return the ordered cosines of one product, of the rows that are candidates."""
        cosines = ordered[self._starts[product] : self._starts[product + 1]]
        return cosines[cosines > -np.inf]


def closest(best: Scores, count: int) -> Rows:
    """Return the `count` products whose best images (C,) have the highest cosines, best first; fewer if there are."""
    some: Rows = np.flatnonzero(best > -np.inf)
    if len(some) > count:
        some = np.sort(some[np.argpartition(-best[some], count - 1)[:count]])
    return some[np.argsort(-best[some], kind="stable")]
