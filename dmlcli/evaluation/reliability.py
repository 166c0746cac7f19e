"""How well the probabilities of answers agree with the truth: expected calibration error and reliability diagram."""

from collections.abc import Sequence

import numpy as np

from dmlcli.product_score import COMPARED
from dmlcli.ranking import Similarities
from dmlcli.report.eval import Reliability, ReliabilityBin
from dmlcli.search.confidence import AnswerModel, summary

_BINS = 10  # of equal width


class ReliabilityDiagram:
    """Sees a search query by query, and compares the confidence of the first product with whether it is right."""

    def __init__(self, model: AnswerModel, gallery_products: Sequence[str]) -> None:
        """Take the probabilities, and the product of each gallery image (G,)."""
        names = [name or f"\0{row}" for row, name in enumerate(gallery_products)]
        _, codes = np.unique(names, return_inverse=True)
        self._model, self._codes = model, codes
        self._order = np.argsort(codes, kind="stable")
        self._starts = np.searchsorted(codes[self._order], np.arange(codes.max(initial=-1) + 2))
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
        cosines = cosines[self._order]
        best = np.maximum.reduceat(cosines, self._starts[:-1])
        first = np.argsort(-best, kind="stable")[:COMPARED]
        own = [cosines[self._starts[place] : self._starts[place + 1]] for place in first if best[place] > -np.inf]
        scores = np.array([summary(one[one > -np.inf]) for one in own])
        confidences = self._model.confidences(scores)
        place = int(confidences.argmax())
        self._answers.append((float(confidences[place]), bool(first[place] == self._codes[found.right_rows[0]])))

    def result(self) -> Reliability | None:
        """Return the error and the bins that hold queries; None without queries."""
        if not self._answers:
            return None
        sure, right = (np.array(column, dtype=np.float64) for column in zip(*self._answers, strict=True))
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
