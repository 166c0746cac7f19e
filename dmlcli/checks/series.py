"""Series of shots: photos of one product taken in a row, which resemble each other.

The catalog's source column says which photos belong to a series; else by capture times, where the cameras noted them;
else by names that are alike but for a running number (train_pear_001 …). That much says nothing yet: eight views
of a mug are called 1.jpg to 8.jpg too. A series does harm where a product has several of them and the photo closest to
a photo, among those of its product, lies in its own series far more often than chance would have it: then a search
that leaves only the photo itself out finds the session, not the product.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from dmlcli.catalog import Catalog, Item
from dmlcli.checks import perceptual_hash
from dmlcli.checks.scan import Scan
from dmlcli.report.doctor import Problem

LONG = 5  # shots; fewer of one name may as well be front_1 and front_2
_PAUSE = 600.0  # seconds without a shot that end a series
_JUMP = 20  # numbers left out that end a series: IMG_0101 and IMG_2907 are not of one
_EXCESS = 1 / 3  # of what chance leaves; at 1 every closest photo is in the own series, at 0 as many as by chance
_DEVIATIONS = 4.0  # by which the count must exceed chance
_NAMED = 3  # series of a product that are listed by name
_MOST_SHOTS = 1000  # of a product that are compared with each other
_NUMBER = re.compile(r"\d+(?=\D*$)")
_SUGGESTION = "do not use leave-one-out: evaluate with --query-split and --gallery-split, or set --source-column"


@dataclass(frozen=True)
class Excess:
    """Number of photos whose closest photo of the product is in their own series, and the number by chance."""

    photos: int
    found: int
    expected: float
    variance: float

    @property
    def is_far_beyond_chance(self) -> bool:
        """Whether this is unlikely by chance, and large enough to report."""
        surplus = self.found - self.expected
        return surplus > _DEVIATIONS * self.variance**0.5 and surplus > _EXCESS * (self.photos - self.expected)


def series_of(items: Sequence[Item], taken: NDArray[np.float64] | None = None) -> list[str]:
    """Return the series of each image, "" for one that is in none: its source, else by time, else by its name.

    Args:
        taken: (N,) capture times in seconds, nan where unknown.
    """
    found = [f"{item.product} {item.source}" if item.source else "" for item in items]
    groups = defaultdict(list)
    for row, item in enumerate(items):
        if not item.source and item.product:
            groups[item.product].append(row)
    for product, rows in groups.items():
        timed = taken is not None and not np.isnan(taken[rows]).any()
        parts = _by_time(rows, taken) if taken is not None and timed else _by_name(items, rows)
        for name, members in parts:
            if len(members) >= LONG:
                for row in members:
                    found[row] = f"{product} {name}"
    return found


def problems(catalog: Catalog, scan: Scan) -> Iterator[Problem]:
    """Yield a row for each product whose photos are closest to their own series, if this holds for the catalog."""
    series = series_of(catalog.items, scan.taken)
    by_product = defaultdict(list)
    for row in np.flatnonzero(scan.comparable).tolist():
        by_product[catalog.items[row].product].append(row)
    found = {}
    for product, rows in by_product.items():
        counts = Counter(series[row] for row in rows)
        if product and sum(1 for name, count in counts.items() if name and count >= LONG) > 1:
            found[product] = _excess(scan, rows[:_MOST_SHOTS], series)
    whole = _sum(list(found.values()))
    if not whole.is_far_beyond_chance:
        return
    everywhere = (
        f"{100 * whole.found / whole.photos:.0f} % overall, by chance {100 * whole.expected / whole.photos:.0f} %"
    )
    for product, excess in found.items():
        if excess.found > excess.expected:
            rows = by_product[product]
            counts = Counter(PurePath(series[row]).name for row in rows if series[row])
            names = ", ".join(f"{name} ({count})" for name, count in counts.most_common(_NAMED))
            names += f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
            own = f"{excess.found} of {excess.photos} photos of {product} have their closest photo in their own series"
            path = str(catalog.root / catalog.items[rows[0]].path)
            yield Problem(path, "series", "", _SUGGESTION, "problem", f"{own} ({everywhere}): {names}")


def _by_time(rows: list[int], taken: NDArray[np.float64]) -> Iterator[tuple[str, list[int]]]:
    order = sorted(rows, key=lambda row: taken[row])
    for number, part in enumerate(_runs(order, [float(taken[row]) for row in order], _PAUSE), start=1):
        yield f"session {number}", part


def _by_name(items: Sequence[Item], rows: list[int]) -> Iterator[tuple[str, list[int]]]:
    stems: dict[tuple[str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        path = PurePath(items[row].path)
        number = _NUMBER.search(path.stem)
        if number:
            stem = (str(path.parent), path.stem[: number.start()], path.stem[number.end() :])
            stems[stem].append((int(number[0][-18:]), row))
    for (folder, before, after), numbered in stems.items():
        numbered.sort()
        for part in _runs([row for _, row in numbered], [float(number) for number, _ in numbered], _JUMP):
            first, last = (PurePath(items[row].path).stem[len(before) :] for row in (part[0], part[-1]))
            yield f"{folder}/{before}{first.removesuffix(after)}-{last}", part


def _runs(rows: list[int], places: list[float], gap: float) -> Iterator[list[int]]:
    """Yield the rows in order of their places, cut where two are further apart than `gap`."""
    run = rows[:1]
    for row, before, here in zip(rows[1:], places, places[1:], strict=False):
        if here - before > gap:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _excess(scan: Scan, rows: list[int], series: Sequence[str]) -> Excess:
    """Return how often the closest photo of a product is in its own series, by thumbnail colors."""
    thumbnails = perceptual_hash.unit(scan.small[rows])
    scores = thumbnails @ thumbnails.T  # (n, n), n the photos of one product
    np.fill_diagonal(scores, -2)
    _, codes = np.unique([series[row] for row in rows], return_inverse=True)
    named = np.array([bool(series[row]) for row in rows])
    others = np.bincount(codes)[codes] - 1  # in the own series
    probability = (others / (len(rows) - 1))[named]
    found = (codes[scores.argmax(axis=1)] == codes)[named]
    return Excess(
        int(named.sum()), int(found.sum()), float(probability.sum()), float((probability * (1 - probability)).sum())
    )


def _sum(parts: Sequence[Excess]) -> Excess:
    return Excess(
        sum(part.photos for part in parts),
        sum(part.found for part in parts),
        sum(part.expected for part in parts),
        sum(part.variance for part in parts),
    )
