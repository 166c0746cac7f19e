"""Calibrated probabilities of answers, from the scores of the products that a query found.

`confidence` of a product is the probability that it is the right one if the catalog holds the right one: a softmax of
the product scores, whose weight and sharpness cross-validation fits by maximum likelihood. `match` is the probability
that the first product is right if every other photo shows a product that is not in the catalog: logistic regression on
four properties of the answer. A false accept rate is turned into a least `match` by the photos of products that the
folds held out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.product_score import mean_of_best

Floats = NDArray[np.float64]
PROPERTIES = 4
LEVELS = 101  # quantiles that are kept: the shares 0, 0.01, …, 1
_NEIGHBORS = 5  # products behind the first whose scores are its neighborhood


class Acceptance(NamedTuple):
    """The least `match` of an answer for a false accept rate, with what held-out photos show of it."""

    match: float  # probability
    kept: float  # share of the right answers that are


@dataclass(frozen=True)
class AnswerModel:
    """What cross-validation fitted; the fields are those of `answers` in model.json."""

    product_weight: float  # of `product_score`
    sharpness: float  # of the softmax over product scores
    match: Sequence[float]  # (PROPERTIES + 1,) weights of the logistic regression, the constant last
    unknown: Sequence[float]  # (LEVELS,) quantiles of the log-odds of `match`, of photos of unknown products
    right: Sequence[float]  # (LEVELS,) the same of right answers
    photos: int  # that these come from: of seen and of unknown products
    folds: int

    def scores(self, found: Floats) -> Floats:
        """Return the product scores (C,) of the best image and the mean of the best three of each product (C, 2)."""
        return np.asarray(found[:, 0] + self.product_weight * (found[:, 1] - found[:, 0]))

    def confidences(self, found: Floats) -> Floats:
        """Return the probability of each product (C,), in [0, 1]; the sum is 1."""
        return softmax(self.sharpness * self.scores(found))

    def log_odds(self, found: Floats) -> float:
        """Return the log-odds of `match`."""
        weights = np.asarray(self.match)
        return float(properties(found, self.scores(found)) @ weights[:-1] + weights[-1])

    def acceptance(self, rate: float) -> Acceptance:
        """Return what to accept for a false accept rate in (0, 1), from the photos of held-out products."""
        shares = np.linspace(0, 1, LEVELS)
        limit = float(np.interp(1 - rate, shares, self.unknown))
        kept = 1 - float(np.interp(limit, self.right, shares))
        return Acceptance(probability(limit), kept)


def summary(cosines: NDArray[np.float32]) -> tuple[float, float]:
    """Return the best of the cosines (n,) of a product, and the mean of its best three."""
    return float(cosines.max()), mean_of_best(cosines)


def properties(found: Floats, scores: Floats) -> Floats:
    """Return what `match` depends on (PROPERTIES,), all of them cosines or differences of cosines.

    Args:
        found: (C, 2) the best image and the mean of the best three of each product.
        scores: (C,) the product scores.

    Returns:
        The best image of the first product, how far its score is ahead of the second, how far its best three images
        lie behind the best one, and the mean score of the products behind it.
    """
    order = np.argsort(-scores, kind="stable")
    first, others = order[0], scores[order[1 : 1 + _NEIGHBORS]]
    second, around = (float(others[0]), float(others.mean())) if len(others) else (0.0, 0.0)
    return np.array([found[first, 0], scores[first] - second, found[first, 0] - found[first, 1], around])


def softmax(values: Floats) -> Floats:
    """Return exp(values) over their sum, of the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def probability(log_odds: float) -> float:
    """Return the probability in [0, 1] of log-odds.

    >>> probability(0.0), round(probability(-800.0), 3)
    (0.5, 0.0)
    """
    return float(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))
