"""From rankings to scores: where the right images came in each query's list, and what that is worth.

Nothing here sees a vector. A ranking is the sorted list of ranks (from 1) at which a query's relevant images came;
that is all that every score needs.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranks = NDArray[np.int64]  # of one query's relevant images, ascending, from 1


def recall_at(k: int, ranks: Ranks) -> float:
    """1 if any relevant image is among the first k, else 0.

    >>> recall_at(1, np.array([2, 3])), recall_at(2, np.array([2, 3]))
    (0.0, 1.0)
    """
    return float(ranks[0] <= k)


def r_precision(ranks: Ranks) -> float:
    """Share of relevant images among the first R, R being their number.

    >>> round(r_precision(np.array([1, 3, 6])), 4)
    0.6667
    """
    return float((ranks <= len(ranks)).mean())


def map_at_r(ranks: Ranks) -> float:
    """Mean over the first R places of precision there, where the image there is relevant.

    Source: Musgrave et al., A Metric Learning Reality Check, ECCV 2020.

    >>> round(map_at_r(np.array([1, 3, 6])), 4), map_at_r(np.array([2, 3]))
    (0.5556, 0.25)
    """
    precision = np.arange(1, len(ranks) + 1) / ranks
    return float(precision[ranks <= len(ranks)].sum() / len(ranks))


def score(
    rankings: Sequence[Ranks], recall: Sequence[int] = (1, 5, 10), largest: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """The value of each metric for each query (Q,); a query without relevant images is NaN in all of them.

    Args:
        largest: how many images a query can find at all; recall at more than that is NaN for every query.
    """
    metrics = {}
    for k in recall:
        known = largest is None or k <= largest
        metrics[f"recall@{k}"] = [recall_at(k, ranks) if known and len(ranks) else np.nan for ranks in rankings]
    metrics["map@r"] = [map_at_r(ranks) if len(ranks) else np.nan for ranks in rankings]
    metrics["r_precision"] = [r_precision(ranks) if len(ranks) else np.nan for ranks in rankings]
    return {name: np.asarray(values, dtype=np.float64) for name, values in metrics.items()}


def mean(values: NDArray[np.float64]) -> float | None:
    """Mean over the queries that have an answer; None where none has.

    >>> mean(np.array([1.0, np.nan, 0.0])), mean(np.array([np.nan]))
    (0.5, None)
    """
    valid = values[~np.isnan(values)]
    return float(valid.mean()) if len(valid) else None


def interval95(
    values: NDArray[np.float64], products: Sequence[str], seed: int = 0, draws: int = 1000
) -> tuple[float, float] | None:
    """95 % percentile interval of the mean, drawing whole products: queries of one product are not independent.

    Args:
        values: (Q,) one metric for each query, NaN where it has no answer.
        products: (Q,) the product of each query.

    Returns: (low, high), or None where fewer than two products have an answer.
    """
    valid = ~np.isnan(values)
    names, product = np.unique(np.asarray(products)[valid], return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(product, weights=values[valid])  # (C,)
    counts = np.bincount(product)  # (C,)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)  # (draws, C)
    low, high = np.percentile((drawn @ sums) / (drawn @ counts), [2.5, 97.5])
    return float(low), float(high)
