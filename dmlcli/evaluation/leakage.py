"""Detection of inflated leave-one-out scores: the closest relevant photo is a copy or from the same series.

Photos of one product are often shot in series. Then leave-one-out finds the series again rather than the product. The
names tell: where the closest right photo shares the query's series (same folder, name but for its numbers, split and
source), or is the next number, far more often than right photos do at all, the score rests on series. It is then taken
again without those.
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from dmlcli.catalog import Item
from dmlcli.ranking import TIE, Found
from dmlcli.report.eval import Inflation, InflationKind
from dmlcli.types import Rows

_COPY = 0.9999  # cosine from which two photos are one
_NEXT = 2  # numbers apart up to which two photos of a series are neighbors
_FEWEST = 50  # minimum number of relevant first hits for a warning
_LIFT, _SURE = 1.5, 5.0  # how much more often than by chance, and in how many standard deviations
_COPIES = 0.02  # share of the right hits that may be copies
_FALL = 0.02  # of Recall@1, below which it is not reported


class LeakageDetector:
    """Observer of a leave-one-out search; `evidence` returns the result."""

    def __init__(self, items: Sequence[Item], own_rows: Rows) -> None:
        """Watch a search of `items` among themselves; `own_rows` (Q,) is which of them each query is."""
        self._own_rows = own_rows
        series, self._number = zip(*map(_series, items), strict=True)
        _, self._series = np.unique(np.array(["\0".join(key) for key in series]), return_inverse=True)
        self._numbers = np.array(self._number)
        kinds: tuple[InflationKind, ...] = ("series", "neighbor", "copy")
        self._kin_first: dict[InflationKind, list[bool]] = {kind: [] for kind in kinds}  # is the first right hit one?
        self._chance: dict[InflationKind, list[float]] = {
            kind: [] for kind in kinds
        }  # ... and how many of the right photos are
        self._without: dict[InflationKind, list[bool]] = {
            kind: [] for kind in kinds
        }  # of each query: right without such photos?
        self._right: list[bool] = []
        self._wrong_copies = 0

    def observe(self, found: Found) -> None:
        """Record the result of one query."""
        if not len(found.right):
            return
        own = self._own_rows[found.query]
        same = self._series[found.right_rows] == self._series[own]
        apart = np.abs(self._numbers[found.right_rows] - self._numbers[own])
        kin: dict[InflationKind, NDArray[np.bool_]] = {
            "series": same,
            "neighbor": same & (apart <= _NEXT),
            "copy": found.right >= _COPY,
        }
        right = bool(found.right[0] - TIE > found.wrong)
        self._right.append(right)
        self._wrong_copies += found.wrong >= _COPY
        for kind, alike in kin.items():
            others = found.right[~alike]
            if kind != "series" or len(others):  # a product of one series says nothing about others
                self._without[kind].append(bool(len(others) and others[0] - TIE > found.wrong))
                if right:
                    self._kin_first[kind].append(bool(alike[0]))
                    self._chance[kind].append(float(alike.mean()))

    def evidence(self) -> Inflation | None:
        """Return the evidence for series or copies; None if there is none."""
        recall = float(np.mean(self._right)) if self._right else 0.0
        for kind, measured in self._without.items():
            kin_first, by_chance = np.array(self._kin_first[kind]), np.array(self._chance[kind])
            if len(kin_first) < _FEWEST:
                continue
            share, expected = float(kin_first.mean()), float(by_chance.mean())
            without = float(np.mean(measured))
            if kind == "copy":
                sound = share > _COPIES and self._wrong_copies < 0.2 * kin_first.sum()
            else:
                sigma = float(np.sqrt((by_chance * (1 - by_chance)).sum())) / len(kin_first)
                sound = share >= _LIFT * expected and share - expected > _SURE * sigma
            if sound and recall - without >= _FALL:
                return Inflation(kind, share, expected, recall, without, len(measured))
        return None


def _series(item: Item) -> tuple[tuple[str, ...], float]:
    """Return what names a photo's series, and its number in it; one without is next to nothing (NaN)."""
    path = PurePath(item.path)
    numbers = re.findall(r"\d+", path.name)
    key = (str(path.parent), re.sub(r"\d+", "#", path.name), item.split, item.source)
    return key, float(numbers[-1]) if numbers else np.nan
