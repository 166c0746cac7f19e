"""Intervals hold what they promise: the true score in 95 of 100 cases, products drawn whole, differences paired."""

import numpy as np
import pytest

from dmlcli.metrics.confidence import interval95, intervals95


def coverage(products: int, queries: int, rounds: int) -> float:
    """How often the interval of a simulated catalog holds the true Recall@1; products differ in how hard they are."""
    rng = np.random.default_rng(0)
    names = [str(product) for product in range(products) for _ in range(queries)]
    held = 0
    for seed in range(rounds):
        easy = rng.beta(2, 1, products)  # the share of a product's queries that succeed; 2/3 on average
        values = (rng.random((products, queries)) < easy[:, None]).astype(np.float64).ravel()
        found = interval95(values, names, seed=seed)
        assert found is not None
        held += found[0] <= 2 / 3 <= found[1]
    return held / rounds


@pytest.mark.slow
@pytest.mark.parametrize(("products", "queries"), [(80, 30), (200, 5), (50, 8)])
def test_the_interval_holds_the_truth_in_95_of_100_catalogs(products: int, queries: int) -> None:
    assert 0.93 <= coverage(products, queries, rounds=2000) <= 0.97


def test_the_interval_is_as_wide_as_95_percent_of_a_normal_distribution() -> None:
    """Of 100 products with one query each: 1.96 standard errors to either side, where 90 % would be 1.64."""
    values = np.random.default_rng(0).normal(size=100)
    found = interval95(values, [str(row) for row in range(100)], draws=20_000)
    assert found is not None
    error = values.std() / 10
    assert (found[1] - found[0]) / 2 / error == pytest.approx(1.96, abs=0.06)
    assert (found[1] + found[0]) / 2 == pytest.approx(values.mean(), abs=0.1 * error)


def test_products_are_drawn_whole() -> None:
    """Ten equal queries of a product say no more than one: drawn by themselves, the interval would be a third."""
    values, names = np.random.default_rng(0).normal(size=100), [str(row) for row in range(100)]
    assert interval95(values.repeat(10), np.repeat(names, 10).tolist()) == pytest.approx(interval95(values, names))


def test_metrics_share_their_draws() -> None:
    """The difference of two metrics that differ by a constant has no spread, and names keep their order."""
    rng = np.random.default_rng(0)
    values, products = rng.random(90), [str(row % 9) for row in range(90)]
    found = intervals95({"b": values, "a": values + 1}, products)
    assert list(found) == ["b", "a"]
    assert found["b"] is not None and found["a"] is not None
    assert found["a"] == pytest.approx((found["b"][0] + 1, found["b"][1] + 1))


def test_macro_intervals_forget_how_large_a_product_is() -> None:
    values = np.array([1.0] * 98 + [0.0, 0.0])
    products = ["large"] * 98 + ["b", "c"]
    found = intervals95({"recall@1": values, "macro_recall@1": values}, products)
    again = intervals95({"macro_recall@1": np.repeat([1.0, 0.0, 0.0], 7)}, np.repeat(["large", "b", "c"], 7).tolist())
    assert found["macro_recall@1"] == again["macro_recall@1"]
