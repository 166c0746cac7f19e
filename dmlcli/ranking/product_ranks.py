"""The rank of the right product of a query among all products."""

from collections.abc import Sequence

import numpy as np

from dmlcli.product_score import COMPARED, product_score
from dmlcli.ranking.product_images import ProductImages, closest
from dmlcli.ranking.relevance import TIE
from dmlcli.types import Scores


class ProductRanks:
    """Ranks the right product of each query among all products of a gallery."""

    def __init__(self, gallery_products: Sequence[str], weight: float) -> None:
        """Take the product of each gallery image (G,), and the weight of `product_score`."""
        self._images, self._weight = ProductImages(gallery_products), weight

    def rank(self, right: Scores, wrong: Scores) -> int:
        """Return the rank of the right product, ties counted against it.

        Products are found by their best image; the first of them are ordered by their score, as `query` does.

        Args:
            right: (R,) cosines of the images of the right product, best first, R >= 1.
            wrong: (G,) cosines of all other images, -inf where a row is not a candidate.
        """
        ordered = self._images.ordered(wrong)
        best = self._images.best(ordered)
        ahead = int(np.count_nonzero(best >= right[0] - TIE))
        if not self._weight or ahead >= COMPARED:
            return 1 + ahead
        score = product_score(right, self._weight) - TIE
        others = [product_score(self._images.of(ordered, one), self._weight) for one in closest(best, COMPARED - 1)]
        return 1 + int(np.count_nonzero(np.array(others) >= score))
