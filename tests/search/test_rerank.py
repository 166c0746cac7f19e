"""Re-ranking: each way against its formula in plain loops, and what it gains where neighbors know better."""

import math

import numpy as np
import pytest

from dmlcli.errors import UsageError
from dmlcli.search import rerank
from dmlcli.search.rerank import DatabaseAugmentation, QueryExpansion, Reciprocal


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def top_list(seed: int = 0, count: int = 40, dim: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """A query and its candidates, best first."""
    rng = np.random.default_rng(seed)
    query = unit(rng.normal(size=dim))
    candidates = unit(rng.normal(size=(count, dim)) + query)
    return query, candidates[np.argsort(-(candidates @ query))]


def test_the_query_moves_by_its_formula() -> None:
    query, candidates = top_list()
    moved = query.astype(float)
    for vector in candidates[:4]:
        moved = moved + max(float(vector @ query), 0) ** 2 * vector
    moved /= np.linalg.norm(moved)
    assert np.allclose(QueryExpansion(k=4, alpha=2)(query, candidates), candidates @ moved, atol=1e-5)


def test_candidates_are_averaged_by_their_formula() -> None:
    query, candidates = top_list()
    expected = []
    for vector in candidates:
        near = sorted(candidates, key=lambda other: -float(other @ vector))[:4]
        mean = sum(max(float(other @ vector), 0) ** 3 * other for other in near)
        expected.append(float(mean @ query / np.linalg.norm(mean)))
    assert np.allclose(DatabaseAugmentation(k=3, alpha=3)(query, candidates), expected, atol=1e-5)


def jaccard_by_loops(query: np.ndarray, candidates: np.ndarray, way: Reciprocal) -> list[float]:
    """Zhong et al. as printed: reciprocal neighbors, their expansion, soft encodings, local mean, Jaccard."""
    every = [query, *candidates]
    size = len(every)
    cosine = [[float(a @ b) for b in every] for a in every]
    order = [sorted(range(size), key=lambda j, i=i: -cosine[i][j]) for i in range(size)]  # type: ignore[misc]

    def mutual(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]} | {i}

    encoded = []
    for i in range(size):
        mine = mutual(i, way.k1)
        joined = set(mine)
        for j in mine:
            theirs = mutual(j, round(way.k1 / 2))
            if len(theirs & mine) >= 2 / 3 * len(theirs) - 1e-9:
                joined |= theirs
        weights = [math.exp(cosine[i][j] - 1) if j in joined else 0.0 for j in range(size)]
        encoded.append([weight / sum(weights) for weight in weights])
    local = [[sum(encoded[j][c] for j in order[i][: way.k2]) / way.k2 for c in range(size)] for i in range(size)]
    scores = []
    for i in range(1, size):
        least = sum(map(min, local[0], local[i]))
        most = sum(map(max, local[0], local[i]))
        scores.append(way.keep * cosine[0][i] + (1 - way.keep) * least / most)
    return scores


@pytest.mark.parametrize("settings", [{}, {"k1": 5, "k2": 1}, {"k1": 6, "k2": 3, "keep": 0.0}])
def test_reciprocal_neighbors_count_by_their_formula(settings: dict[str, float]) -> None:
    query, candidates = top_list(3)
    way = Reciprocal(**settings)  # type: ignore[arg-type]
    assert np.allclose(way(query, candidates), jaccard_by_loops(query, candidates, way), atol=1e-5)


def test_neighbors_know_better() -> None:
    """A product as a chain of photos, each like the next; the far end is found through the middle."""
    angles = np.linspace(0, 1.2, 12)
    chain = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    wrong = unit(np.stack([np.array([math.cos(0.9), 0, sign * math.sin(0.9)]) for sign in (1, -1)]))
    rows = np.concatenate([unit(chain[1:]), wrong])
    relevant = np.array([True] * 11 + [False] * 2)
    order = np.argsort(-(rows @ chain[0]), kind="stable")
    scores = QueryExpansion()(chain[0].astype(np.float32), rows[order])
    after = order[np.argsort(-scores, kind="stable")]
    assert relevant[after][:11].sum() >= relevant[order][:11].sum()
    assert np.flatnonzero(~relevant[after])[0] > np.flatnonzero(~relevant[order])[0]


@pytest.mark.parametrize("name", rerank.WAYS)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_short_lists_and_twins_are_no_trouble(name: str, count: int) -> None:
    query, _ = top_list()
    scores = rerank.parse(name)(query, np.repeat(query[None], count, axis=0))
    assert scores.shape == (count,) and np.isfinite(scores).all() and np.ptp(scores) < 1e-5


def test_settings_come_from_one_word() -> None:
    assert rerank.parse("aqe:k=7,alpha=0.5") == QueryExpansion(k=7, alpha=0.5)
    assert rerank.parse("k-reciprocal") == Reciprocal()
    with pytest.raises(UsageError) as caught:
        rerank.parse("k-reciprocl")
    assert "k-reciprocal" in caught.value.hint
