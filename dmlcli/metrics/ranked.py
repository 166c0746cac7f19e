"""Metrics of one query's ranks, and their names.

R is the number of relevant images that a query could find. Where only the first so many hits are known (`depth`),
ranks beyond are `UNSEEN`, and what depends on them has no value.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.errors import UsageError, nearest
from dmlcli.types import Ranks

UNSEEN = 2**62  # the rank of a relevant image that is not in the list
DEFAULT = ("recall@1", "recall@5", "recall@10", "map@r", "r_precision")  # reported without --metrics


def recall_at(k: int, ranks: Ranks) -> float:
    """Return 1 if any relevant image is among the first k, else 0; equals CMC at rank k.

    >>> recall_at(1, np.array([2, 3])), recall_at(2, np.array([2, 3]))
    (0.0, 1.0)
    """
    return float(ranks[0] <= k)


def precision_at(k: int, ranks: Ranks) -> float:
    """Return the share of relevant images among the first k; the divisor is k even if R is smaller."""
    return float(np.count_nonzero(ranks <= k) / k)


def capped_precision_at(k: int, ranks: Ranks) -> float:
    """Return the share of relevant images among the first k, divided by the most that is possible, min(k, R) / k.

    Source: open-metric-learning, where this is `precision@k`.

    >>> [round(capped_precision_at(k, np.array([1, 3, 6])), 4) for k in (1, 2, 3, 6)]
    [1.0, 0.5, 0.6667, 1.0]
    """
    return float(np.count_nonzero(ranks <= k) / min(k, len(ranks)))


def r_precision(ranks: Ranks) -> float:
    """Return the share of relevant images among the first R.

    >>> round(r_precision(np.array([1, 3, 6])), 4)
    0.6667
    """
    return float(np.count_nonzero(ranks <= len(ranks)) / len(ranks))


def map_at_r(ranks: Ranks) -> float:
    """Return the mean over the first R ranks of the precision at ranks with a relevant image.

    Source: Musgrave et al., A Metric Learning Reality Check, ECCV 2020.

    >>> round(map_at_r(np.array([1, 3, 6])), 4), map_at_r(np.array([2, 3]))
    (0.5556, 0.25)
    """
    return average_precision_at(len(ranks), ranks)


def average_precision_at(k: int, ranks: Ranks) -> float:
    """Return the sum of the precision at relevant images among the first k, divided by min(k, R)."""
    within = ranks[ranks <= k]
    return float((np.arange(1, len(within) + 1) / within).sum() / min(k, len(ranks)))


def average_precision(ranks: Ranks) -> float:
    """Return the mean over the relevant images of the precision at their ranks.

    >>> round(average_precision(np.array([1, 3, 6])), 4)
    0.7222
    """
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def reciprocal_rank(ranks: Ranks) -> float:
    """Return 1 / rank of the first relevant image; 0 if it is beyond the list."""
    return float(1 / ranks[0]) if ranks[0] < UNSEEN else 0.0


def inverse_negative_penalty(ranks: Ranks) -> float:
    """Return R / rank of the last relevant image (mINP).

    Source: Ye et al., Deep Learning for Person Re-identification, TPAMI 2021.

    >>> inverse_negative_penalty(np.array([1, 3, 6]))
    0.5
    """
    return float(len(ranks) / ranks[-1])


class Metric(NamedTuple):
    """A metric; `needs` returns the number of ranks that it depends on, given R and the size of the gallery."""

    name: str
    value: Callable[[Ranks], float]
    needs: Callable[[int, int], int]
    k: int | None = None


_AT: dict[str, Callable[[int, Ranks], float]] = {
    "recall": recall_at,
    "cmc": recall_at,
    "precision": precision_at,
    "capped_precision": capped_precision_at,
    "map": average_precision_at,
}
_WHOLE: dict[str, tuple[Callable[[Ranks], float], Callable[[int, int], int]]] = {
    "map@r": (map_at_r, lambda relevant, _: relevant),
    "r_precision": (r_precision, lambda relevant, _: relevant),
    "map": (average_precision, lambda _, gallery: gallery),
    "mrr": (reciprocal_rank, lambda _, gallery: 0),
    "minp": (inverse_negative_penalty, lambda _, gallery: gallery),
}
KNOWN = (*_WHOLE, *(f"{name}@K" for name in _AT))
_MACRO = "macro_"


def find(name: str) -> Metric:
    """Return the metric with this name (`macro_`: mean over products); raises UsageError for an unknown one."""
    plain = name.removeprefix(_MACRO)
    if plain in _WHOLE:
        value, needs = _WHOLE[plain]
        return Metric(name, value, needs)
    family, _, number = plain.partition("@")
    if family in _AT and re.fullmatch(r"[1-9]\d{0,8}", number):
        k, at = int(number), _AT[family]
        return Metric(name, lambda ranks: at(k, ranks), lambda *_: k, k)
    raise UsageError(f"unknown metric '{name}'", hint=nearest(name, list(KNOWN)))


def is_macro(name: str) -> bool:
    """Return whether a metric is the mean over products of their means."""
    return name.startswith(_MACRO)


def score(
    rankings: Sequence[Ranks], names: Sequence[str] = DEFAULT, largest: int | None = None, depth: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the value of each metric for each query (Q,); queries without relevant images are NaN.

    Args:
        rankings: of each query, the ranks of its relevant images, ascending from 1.
        names: the metrics.
        largest: the number of images that a query can find; a metric at a larger K is NaN for every query.
        depth: the number of hits that are known of each query; metrics that need more are NaN for every query.

    Raises:
        UsageError: an unknown metric.
    """
    most = max((len(ranks) for ranks in rankings), default=0)
    metrics = {}
    for metric in map(find, names):
        beyond = largest is not None and metric.k is not None and metric.k > largest
        if beyond or (depth is not None and depth < metric.needs(most, largest or 0)):
            metrics[metric.name] = np.full(len(rankings), np.nan)
        else:
            values = [metric.value(ranks) if len(ranks) else np.nan for ranks in rankings]
            metrics[metric.name] = np.asarray(values, dtype=np.float64)
    return metrics
