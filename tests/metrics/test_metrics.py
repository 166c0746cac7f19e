"""The worked examples of the definitions, their bounds, and intervals that know of products."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dmlcli import metrics

Ranks = NDArray[np.int64]
relevance = st.lists(st.booleans(), min_size=1, max_size=30).filter(any)


def ranks(*relevant: int) -> Ranks:
    """From a list of 0 and 1 to the ranks of the ones."""
    return np.flatnonzero(relevant) + 1


@pytest.mark.parametrize(
    ("listed", "recall", "precision", "map_at_r"),
    [((1, 0, 1, 0, 0, 1), 1, 2 / 3, (1 + 2 / 3) / 3), ((0, 1, 1), 0, 0.5, 0.25), ((1, 1), 1, 1, 1), ((0, 1), 0, 0, 0)],
)
def test_worked_examples(listed: tuple[int, ...], recall: float, precision: float, map_at_r: float) -> None:
    found = ranks(*listed)
    assert metrics.recall_at(1, found) == recall
    assert metrics.r_precision(found) == pytest.approx(precision)
    assert metrics.map_at_r(found) == pytest.approx(map_at_r)


@given(relevance)
def test_map_at_r_equals_its_definition_and_is_at_most_r_precision(listed: list[bool]) -> None:
    found, count = ranks(*listed), sum(listed)
    first = listed[:count]
    expected = sum(sum(first[: i + 1]) / (i + 1) for i, hit in enumerate(first) if hit) / count
    assert metrics.map_at_r(found) == pytest.approx(expected)
    assert 0 <= metrics.map_at_r(found) <= metrics.r_precision(found) <= 1
    assert metrics.r_precision(found) == pytest.approx(sum(first) / count)


@given(relevance)
def test_recall_grows_with_k(listed: list[bool]) -> None:
    values = [metrics.recall_at(k, ranks(*listed)) for k in (1, 5, 10, 30)]
    assert values == sorted(values) and values[-1] == 1


def test_queries_without_a_right_image_count_nowhere() -> None:
    values = metrics.score([ranks(1, 0), ranks(), ranks(0, 1)])
    assert {"recall@1", "recall@5", "recall@10", "map@r", "r_precision"} == set(values)
    assert all(np.isnan(value[1]) for value in values.values())
    assert metrics.mean(values["recall@1"]) == 0.5
    assert metrics.mean(np.array([np.nan])) is None


def test_the_interval_is_wider_where_products_agree_within_themselves() -> None:
    """Ten products of twenty queries that are all right or all wrong tell no more than ten queries."""
    products = [str(product) for product in range(10) for _ in range(20)]
    together = np.repeat([1.0, 0.0] * 5, 20)
    mixed = np.tile([1.0, 0.0] * 10, 10)
    wide, narrow = metrics.interval95(together, products), metrics.interval95(mixed, products)
    assert wide is not None and narrow is not None
    assert wide[1] - wide[0] > 0.4 and narrow[1] - narrow[0] < 0.05
    assert wide[0] < 0.5 < wide[1]


def test_the_interval_is_repeatable_and_needs_two_products() -> None:
    values, products = np.random.default_rng(0).random(60), [str(row % 7) for row in range(60)]
    assert metrics.interval95(values, products, seed=3) == metrics.interval95(values, products, seed=3)
    assert metrics.interval95(values, ["one"] * 60) is None
    assert metrics.interval95(np.full(60, np.nan), products) is None
