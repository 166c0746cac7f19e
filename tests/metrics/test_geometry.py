"""The shape of embeddings: sums give what all pairs would."""

import numpy as np
import pytest

from dmlcli.metrics import geometry
from dmlcli.metrics.geometry import shape
from tests.conftest import make_embeddings


def test_distances_equal_those_over_all_pairs() -> None:
    vectors = make_embeddings(np.random.default_rng(0).normal(size=(30, 5)) + 1, ["x"] * 30).vectors
    products = [str(row % 7) for row in range(29)] + ["alone"]
    distances = 1 - vectors @ vectors.T
    same = np.array([[a == b for b in products] for a in products])
    of_products = []
    for product in sorted(set(products) - {"alone"}):
        rows = [row for row, name in enumerate(products) if name == product]
        of_products.append(distances[np.ix_(rows, rows)].sum() / (len(rows) * (len(rows) - 1)))
    found = shape(vectors, products)
    assert found["intra"] == pytest.approx(np.mean(of_products), abs=1e-6)
    assert found["inter"] == pytest.approx(distances[~same].mean(), abs=1e-6)


def test_directions() -> None:
    """Variance along two axes only; and none at all."""
    rows = np.zeros((40, 6))
    rows[:20, 0] = np.tile([1, -1], 10)
    rows[20:, 1] = np.tile([1, -1], 10)
    found = shape(make_embeddings(rows, ["x"] * 40).vectors, ["a", "b"] * 20)
    assert (found["directions50"], found["directions99"]) == (1, 2)
    collapsed = shape(make_embeddings(np.ones((9, 3)), ["x"] * 9).vectors, ["a", "b", "c"] * 3)
    assert collapsed["directions90"] is None and collapsed["intra"] == pytest.approx(0, abs=1e-6)


def test_even_use_of_all_directions_decays_least() -> None:
    rng = np.random.default_rng(0)
    even, uneven = rng.normal(size=(500, 8)), rng.normal(size=(500, 8)) * 3.0 ** -np.arange(8)
    decay = [
        shape(make_embeddings(rows, ["x"] * 500).vectors, ["a", "b"] * 250)["spectral_decay"] for rows in (even, uneven)
    ]
    assert decay[0] is not None and decay[1] is not None and 0 <= decay[0] < 0.05 < decay[1]


@pytest.mark.parametrize("n", [5, 40])
def test_directions_and_decay_of_fewer_rows_than_directions_and_of_more(n: int) -> None:
    vectors = make_embeddings(np.random.default_rng(n).normal(size=(n, 20)) * 1.3 ** -np.arange(20), ["x"] * n).vectors
    found = shape(vectors, ["a"] * n)
    singular = np.pad(np.linalg.svd(vectors, compute_uv=False), (0, max(0, 20 - n)))[1:]
    share = np.clip(singular / singular.sum(), 1e-12, None)
    assert found["spectral_decay"] == pytest.approx(float(-np.log(19 * share).mean()), abs=1e-5)
    variance = np.linalg.svd(vectors - vectors.mean(axis=0), compute_uv=False) ** 2
    for percent in (50, 90, 99):
        expected = 1 + int(np.argmax(np.cumsum(variance) >= percent / 100 * variance.sum()))
        assert found[f"directions{percent}"] == expected


def test_the_fraction_of_components_that_hold_more_than_a_share() -> None:
    assert geometry.components_fraction(np.eye(4, 10, dtype=np.float32), 0.5) == 0.2  # as open-metric-learning has it
    rows = np.random.default_rng(0).normal(size=(300, 8)) * [4, 3, 2, 1, 1, 1, 1, 1]
    held = np.linalg.eigvalsh(np.cov(rows.T))[::-1].cumsum()
    for share in (0.1, 0.5, 0.9, 0.99):
        expected = next(count for count in range(1, 9) if held[count - 1] / held[-1] > share) / 8
        assert geometry.components_fraction(rows.astype(np.float32), share) == expected
    assert geometry.components_fraction(np.ones((5, 3), np.float32), 0.5) is None
