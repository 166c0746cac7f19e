"""Verification metrics over all pairs of a query and a gallery image.

Similarities are counted in 65,536 bins of [-1, 1] as they pass by, so memory does not grow with the number of pairs;
every score is exact to the width of a bin (0.00003 of cosine).
"""

import re

import numpy as np
from numpy.typing import NDArray

_BINS = 65536
_LOW, _SCALE = -1.0, _BINS / 2.0
NAMES = ("auc", "eer", "fnmr@fmr=F")


class Pairs:
    """Histograms of similarities between images of the same product, and of different products."""

    def __init__(self) -> None:
        self.right = np.zeros(_BINS, dtype=np.int64)
        self.wrong = np.zeros(_BINS, dtype=np.int64)

    def add(self, right: NDArray[np.float32], wrong: NDArray[np.float32]) -> None:
        """Count one query's similarities; -inf marks rows that are not pairs."""
        self.right += np.bincount(binned(right), minlength=_BINS)
        self.wrong += np.bincount(binned(wrong[wrong > -np.inf]), minlength=_BINS)

    def value(self, name: str) -> float | None:
        """Return auc, eer, or fnmr@fmr=F, the false non-match rate at the false match rate F."""
        if not self.right.sum() or not self.wrong.sum():
            return None
        accepted, missed = self._errors()
        if name == "auc":
            wrong, right = self.wrong / self.wrong.sum(), self.right / self.right.sum()
            below = np.cumsum(wrong) - wrong
            return float((right * (below + wrong / 2)).sum())
        if name == "eer":
            place = int(np.abs(accepted - missed).argmin())
            return float((accepted[place] + missed[place]) / 2)
        allowed = rate(name)
        return None if allowed is None else float(missed[np.argmax(accepted <= allowed)])

    def threshold(self, false_match_rate: float) -> float:
        """Return the lowest similarity at which no more than this share of the wrong pairs is accepted."""
        accepted, _ = self._errors()
        return float(np.argmax(accepted <= false_match_rate) / _SCALE + _LOW)

    def _errors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return, for a threshold at each bin, the share of wrong pairs accepted and of right pairs rejected."""
        accepted = np.append(np.cumsum(self.wrong[::-1])[::-1], 0) / self.wrong.sum()
        missed = np.append(0, np.cumsum(self.right)) / self.right.sum()
        return accepted, missed


def rate(name: str) -> float | None:
    """Return the share of false matches in a name like fnmr@fmr=0.001; None where the name is another.

    >>> rate("fnmr@fmr=0.001"), rate("auc")
    (0.001, None)
    """
    found = re.fullmatch(r"fnmr@fmr=(0?\.\d+|\d+e-\d+)", name)
    return float(found[1]) if found else None


def binned(scores: NDArray[np.float32], bins: int = _BINS) -> NDArray[np.int64]:
    """Return the bin of each score, of so many in [-1, 1]."""
    places: NDArray[np.int64] = np.clip((scores - _LOW) * (bins / 2), 0, bins - 1).astype(np.int64)
    return places
