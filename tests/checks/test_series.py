"""Series of shots: who belongs to which, and whether they find themselves."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmlcli.catalog import Catalog, Item
from dmlcli.checks import series
from dmlcli.checks.scan import Scan


def items(*names: str, product: str = "pear") -> list[Item]:
    return [Item(f"{product}/{name}.jpg", product) for name in names]


def sessions(of: list[Item], likeness: float, seed: int = 0) -> tuple[Catalog, Scan]:
    """Photos whose thumbnails are a mix of what their session and what their number looks like."""
    generator = np.random.default_rng(seed)
    looks: dict[str, NDArray[np.int64]] = {}
    scan = Scan(len(of))
    scan.comparable[:] = True
    for row, item in enumerate(of):
        session = looks.setdefault(item.path.rstrip("0123456789.jpg"), generator.integers(0, 256, (8, 8, 3)))
        own = generator.integers(0, 256, (8, 8, 3))
        scan.small[row] = likeness * session + (1 - likeness) * own
    return Catalog(Path("/shop"), of), scan


def test_names_alike_but_for_a_number_are_a_series() -> None:
    found = series.series_of(
        items(*(f"train_{n:03}" for n in range(1, 7)), *(f"test_{n:03}" for n in range(1, 6)), "x")
    )
    assert len(set(found[:6])) == len(set(found[6:11])) == 1 and found[0] != found[6] and found[11] == ""
    assert found[0].endswith("train_001-006")


def test_a_few_names_are_no_series() -> None:
    assert not any(series.series_of(items("front_1", "front_2", "back_1", "back_2", "12", "007")))


def test_a_jump_in_the_numbers_ends_a_series() -> None:
    found = series.series_of(items(*(f"IMG_{n}" for n in (*range(100, 106), *range(2907, 2913)))))
    assert len(set(found)) == 2 and found[0] == found[5] != found[6] == found[11]


def test_times_go_before_names_and_sources_before_times() -> None:
    shots = items(*(f"{n}" for n in range(10)))
    taken = np.array([0.0, 5, 9, 12, 20, 90_000, 90_010, 90_020, 90_500, 90_900])
    found = series.series_of(shots, taken)
    assert len(set(found)) == 2 and found[4] != found[5]
    assert len(set(series.series_of(shots, np.where(taken == 5, np.nan, taken)))) == 1  # one unknown: names again
    named = [item._replace(source="shop 1") for item in shots]
    assert set(series.series_of(named, taken)) == {"pear shop 1"}


def test_numbers_of_any_length_and_script_are_read() -> None:
    found = series.series_of(items(*(f"{10**30 + n}" for n in range(6)), *(f"梨{n}" for n in range(6))))
    assert len(set(found)) == 2 and "" not in found


@pytest.mark.parametrize(("likeness", "reported"), [(0.7, True), (0.0, False)])
def test_series_are_reported_where_they_find_themselves(likeness: float, reported: bool) -> None:
    shots = [
        item
        for product in ("pear", "plum", "kiwi")
        for item in items(*(f"{day}_{n:02}" for day in ("monday", "friday") for n in range(12)), product=product)
    ]
    problems = list(series.problems(*sessions(shots, likeness)))
    assert [problem.problem for problem in problems] == ["series"] * 3 * reported
    if reported:
        assert "monday_00-11 (12)" in problems[0].detail and "by chance 48 %" in problems[0].detail


def test_one_series_a_product_is_nothing_to_report() -> None:
    """Eight views called 1.jpg to 8.jpg: nothing else of the product to compare with."""
    shots = [item for product in ("pear", "plum") for item in items(*"12345678", product=product)]
    assert not list(series.problems(*sessions(shots, 0.9)))


def test_the_excess_is_counted_against_chance() -> None:
    generator = np.random.default_rng(3)
    scan = Scan(400)
    scan.small[:] = generator.integers(0, 256, scan.small.shape)
    excess = series._excess(scan, list(range(400)), ["a" if row % 4 else "b" for row in range(400)])
    assert excess.expected == pytest.approx((300 * 299 + 100 * 99) / 399)
    assert abs(excess.found - excess.expected) < 4 * excess.variance**0.5 and not excess.is_far_beyond_chance
