"""Whether one threshold of similarity suits all products: the operating-point inconsistency score.

The utility of a threshold for a product is the harmonic mean of the share of its right pairs that are accepted and of
its wrong pairs that are rejected. The score is the variance of the utility between products, averaged over thresholds;
0: every threshold is as good for one product as for another.

Source: Zhang et al., Threshold-Consistent Margin Loss for Open-World Deep Metric Learning, ICLR 2024, section 3 (OPIS).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dmlcli.metrics.verification import binned

NAMES = ("opis",)
HIGHEST, LOWEST = 0.1, 0.01  # false match rates over all products, between which the thresholds lie
_BINS = 2048  # of [-1, 1]


class Consistency:
    """Histograms of similarities by the product of the query: 16 KB for each product."""

    def __init__(self, products: Sequence[str]) -> None:
        """`products`: of each query (Q,)."""
        names, self._codes = np.unique(np.asarray(products), return_inverse=True)
        self._right = np.zeros((len(names), _BINS), dtype=np.int32)
        self._wrong = np.zeros((len(names), _BINS), dtype=np.int32)

    def add(self, query: int, right: NDArray[np.float32], wrong: NDArray[np.float32]) -> None:
        """Count the similarities of a query.

        Args:
            query: its number.
            right: to images of its product, in [-1, 1].
            wrong: to all others; -inf marks rows that are not pairs.
        """
        product = self._codes[query]
        self._right[product] += np.bincount(binned(right, _BINS), minlength=_BINS).astype(np.int32)
        self._wrong[product] += np.bincount(binned(wrong[wrong > -np.inf], _BINS), minlength=_BINS).astype(np.int32)

    def value(self) -> float | None:
        """Return the score in [0, 0.25]; None if fewer than two products have right and wrong pairs."""
        several = (self._right.sum(axis=1) > 0) & (self._wrong.sum(axis=1) > 0)
        if several.sum() < 2:
            return None
        accepted = _from_above(self._wrong[several].sum(axis=0, keepdims=True))[0]
        first, last = (int(np.argmax(accepted <= rate)) for rate in (HIGHEST, LOWEST))
        thresholds = slice(first, max(last, first) + 1)
        kept = _from_above(self._right[several])[:, thresholds]
        rejected = 1 - _from_above(self._wrong[several])[:, thresholds]
        utility = 2 * kept * rejected / np.maximum(kept + rejected, 1e-12)  # (P, T)
        return float(utility.var(axis=0).mean())


def _from_above(counts: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the share of each row (P, bins) that lies at each bin or above, and 0 at the end."""
    above = np.cumsum(counts[:, ::-1], axis=1, dtype=np.float64)[:, ::-1]
    return np.pad(above / np.maximum(above[:, :1], 1), ((0, 0), (0, 1)))
