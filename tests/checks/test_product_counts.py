"""Products by themselves: counts, lone photos, names in two categories."""

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dmlcli.catalog import Catalog, Item
from dmlcli.checks import product_counts


def catalog(*items: Item) -> Catalog:
    return Catalog(Path("/shop"), list(items))


def test_a_product_with_one_photo_is_a_notice() -> None:
    (problem,) = product_counts.problems(catalog(Item("a/1", "a"), Item("b/1", "b"), Item("b/2", "b"), Item("x", "")))
    assert (problem.problem, problem.severity, problem.path) == ("single-photo", "notice", "/shop/a/1")


def test_a_name_in_two_categories_is_a_problem() -> None:
    (problem,) = product_counts.problems(
        catalog(*(Item(f"{c}/a/{n}", "a", c) for c in ("fruit", "tools", "art") for n in range(2)))
    )
    assert (problem.problem, problem.path, problem.other) == ("homonym", "/shop/fruit/a/0", "/shop/tools/a/0")
    assert "art, fruit, tools" in problem.detail


def test_the_census_counts_everything() -> None:
    found = product_counts.census(
        catalog(Item("1", "a", "x", "train"), Item("2", "a", "x", "test"), Item("3", "b", "y", "test"), Item("4", ""))
    )
    assert (found.images, found.products, found.categories, found.without_product) == (4, 2, 2, 1)
    assert found.splits == {"train": 1, "test": 2} and found.histogram == ((1, 1, 1), (2, 2, 1))


@given(st.lists(st.integers(1, 5000), max_size=60))
def test_every_product_is_in_one_bar(counts: list[int]) -> None:
    bars = product_counts.histogram(counts)
    assert sum(number for _, _, number in bars) == len(counts) and len(bars) <= 14
    for (_, most, _), (fewest, _, _) in pairwise(bars):
        assert most < fewest
    if counts:
        assert bars[0][0] == min(counts) and bars[-1][1] == max(counts)
