"""How well the probabilities of answers agree with the truth: expected calibration error and reliability diagram."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmlcli.product_score import COMPARED
from dmlcli.ranking import ProductImages, Similarities, closest
from dmlcli.report.eval import Reliability, ReliabilityBin
from dmlcli.search.confidence import AnswerModel, summary

Floats = NDArray[np.float64]
_BINS = 10  # of equal width


class ReliabilityDiagram:
    """Sees a search query by query, and compares the confidence of the first product with whether it is right."""

    def __init__(self, model: AnswerModel, gallery_products: Sequence[str]) -> None:
        """Take the probabilities, and the product of each gallery image (G,)."""
        self._model, self._images = model, ProductImages(gallery_products)
        self._answers: list[tuple[float, bool]] = []

    @property
    def product_weight(self) -> float:
        """The weight of `product_score`."""
        return self._model.product_weight

    def observe(self, found: Similarities) -> None:
        """Take what one query found; queries without a relevant image do not count."""
        if not len(found.right):
            return
        cosines = found.wrong.copy()
        cosines[found.right_rows] = found.right
        ordered = self._images.ordered(cosines)
        first = closest(self._images.best(ordered), COMPARED)
        confidences = self._model.confidences(np.array([summary(self._images.of(ordered, one)) for one in first]))
        place = int(confidences.argmax())
        is_right = first[place] == self._images.of_row[found.right_rows[0]]
        self._answers.append((float(confidences[place]), bool(is_right)))

    def result(self) -> Reliability | None:
        """Return the error and the bins that hold queries; None without queries."""
        if not self._answers:
            return None
        sure, right = (np.array(column, dtype=np.float64) for column in zip(*self._answers, strict=True))
        return reliability(sure, right)


def reliability(sure: Floats, right: Floats) -> Reliability:
    """Return the expected calibration error, and the bins that hold queries.

    Args:
        sure: (Q,) confidence of the first product of each query, Q >= 1.
        right: (Q,) 1 where it is the right one, else 0.

    Source: Guo et al., On calibration of modern neural networks, ICML 2017, with ten bins.
    """
    place = np.minimum((sure * _BINS).astype(int), _BINS - 1)
    bins = [
        ReliabilityBin(
            low=number / _BINS,
            high=(number + 1) / _BINS,
            queries=int((place == number).sum()),
            confidence=float(sure[place == number].mean()),
            right=float(right[place == number].mean()),
        )
        for number in range(_BINS)
        if (place == number).any()
    ]
    error = sum(one.queries * abs(one.confidence - one.right) for one in bins) / len(sure)
    return Reliability(error, float(sure.mean()), float(right.mean()), tuple(bins))
