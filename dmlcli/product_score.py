"""The score of a product from the cosines of its images; `query`, `eval` and training share it."""

import numpy as np

from dmlcli.types import Scores

BEST = 3  # images of a product whose mean counts
RECALL_AT = (1, 3, 5)  # the K of Recall@K by product that is reported
COMPARED = 20  # products, those with the best images, whose scores are computed


def product_score(cosines: Scores, weight: float) -> float:
    """Return the score of one product: a weighted mean of its best image and of the mean of its best three.

    Args:
        cosines: (n,) of its images with the query, n >= 1, in any order.
        weight: of the mean of the best three images (of all, where there are fewer), in [0, 1].

    >>> [round(product_score(np.float32([0.2, 0.9, 0.6, 0.6]), weight), 3) for weight in (0, 0.5, 1)]
    [0.9, 0.8, 0.7]
    """
    best = float(cosines.max())
    if not weight:
        return best
    return best + weight * (mean_of_best(cosines) - best)


def mean_of_best(cosines: Scores) -> float:
    """Return the mean of the best three cosines (n,), n >= 1; of all where there are fewer."""
    count = min(BEST, len(cosines))
    return float(np.partition(cosines, len(cosines) - count)[-count:].mean())
