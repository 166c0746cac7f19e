"""Clusters against products: scikit-learn's scores, k-means that finds what is plainly there, and one-sided cases."""

import numpy as np
import pytest

from dmlcli.metrics.clusters import agreement, k_means
from tests.conftest import make_embeddings


def test_scikit_learn_agrees() -> None:
    scores = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with pytorch-metric-learning")
    for seed in range(40):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(2, 60))
        classes = rng.integers(0, rng.integers(1, 9), count)
        groups = rng.integers(0, rng.integers(1, 9), count)
        found = agreement([str(one) for one in classes], groups)
        assert found["nmi"] == pytest.approx(scores.normalized_mutual_info_score(classes, groups), abs=1e-9)
        geometric = scores.normalized_mutual_info_score(classes, groups, average_method="geometric")
        assert found["nmi_geometric"] == pytest.approx(geometric, abs=1e-9)
        assert found["ami"] == pytest.approx(scores.adjusted_mutual_info_score(classes, groups), abs=1e-7)


def test_f1_counts_pairs() -> None:
    """aab|b c: pairs together and alike 1 (aa), together 3, alike 2 (aa, bb)."""
    assert agreement(list("aabbc"), np.array([0, 0, 0, 1, 2]))["f1"] == pytest.approx(2 * 1 / (3 + 2))


def test_k_means_finds_what_is_plainly_there_and_repeats() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(6)[:4], 25, axis=0) + 0.05 * rng.normal(size=(100, 6))
    vectors = make_embeddings(points, ["x"] * 100).vectors
    products = [str(row // 25) for row in range(100)]
    best = max(agreement(products, k_means(vectors, 4, seed))["nmi"] for seed in range(3))
    assert best == pytest.approx(1)
    assert np.array_equal(k_means(vectors, 4, 1), k_means(vectors, 4, 1))


def test_as_many_clusters_as_vectors() -> None:
    vectors = make_embeddings(np.eye(5), ["x"] * 5).vectors
    assert sorted(k_means(vectors, 5, 0)) == [0, 1, 2, 3, 4]
    assert set(k_means(np.repeat(vectors[:1], 5, axis=0), 3, 0)) <= {0, 1, 2}
