"""Ranks by exact search: ties count against it, the query's own row goes, and other people's code agrees."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dmlcli import metrics
from dmlcli.ranking import Found, Groups, block_rows, find, rankings, search, tile_search
from dmlcli.ranking import rank as rank_of
from tests.conftest import make_embeddings


def test_what_is_wrong_and_as_close_comes_first() -> None:
    right, wrong = np.array([0.9, 0.9, 0.1], dtype=np.float32), np.array([0.5, 0.9], dtype=np.float32)
    assert rank_of(right, wrong).tolist() == [2, 3, 5]


def test_differences_finer_than_float32_products_are_ties() -> None:
    right = np.array([0.9], dtype=np.float32)
    assert rank_of(right, np.array([0.9 - 3e-7], dtype=np.float32)).tolist() == [2]
    assert rank_of(right, np.array([0.9 - 3e-6], dtype=np.float32)).tolist() == [1]


def test_few_relevant_images_and_many_are_ranked_alike() -> None:
    """Two ways to count, one answer: the first of a hundred ranks equal the ranks of the first few alone."""
    rng = np.random.default_rng(2)
    right = np.sort(rng.random(100).astype(np.float32).round(2))[::-1]
    wrong = rng.random(500).astype(np.float32).round(2)
    wrong[:50] = -np.inf
    assert rank_of(right[:10], wrong).tolist() == rank_of(right, wrong)[:10].tolist()


def test_a_vector_without_length_is_found_last() -> None:
    gallery = make_embeddings([[1, 0], [-1, 0], [0, 1]], ["a"] * 3).vectors.copy()
    gallery[0] = 0
    found = rankings(gallery[[1]], gallery, ["a"], ["a", "x", "y"])
    assert found[0].tolist() == [3]


def test_what_is_excluded_is_neither_right_nor_wrong() -> None:
    vectors = make_embeddings([[1, 0], [1, 0.1], [1, 0.2], [1, 0.3]], ["a"] * 4).vectors
    groups = Groups(["a"], ["a", "b", "a", "b"])
    (found,) = search(vectors[:1], vectors, groups, excluded=lambda query: np.array([0, 1]))
    assert found.right_rows.tolist() == [2] and np.isneginf(found.wrong).sum() == 3
    assert rank_of(found.right, found.wrong).tolist() == [1]


def test_an_unknown_name_belongs_to_no_one() -> None:
    groups = Groups(["", "a"], ["", "a", "", "a"])
    assert groups.rows(0).tolist() == [] and groups.rows(1).tolist() == [1, 3]


def test_memory_for_similarities_is_bounded() -> None:
    assert all(4 * gallery * block_rows(gallery) <= 64 * 2**20 for gallery in (1, 1000, 60502, 10**7))


def test_a_model_that_maps_everything_to_one_point_scores_zero() -> None:
    vectors = make_embeddings(np.ones((12, 5)), ["a"] * 12).vectors
    products = [name for name in "abcd" for _ in range(3)]
    values = metrics.score(rankings(vectors, vectors, products, products, own_rows=np.arange(12)))
    assert metrics.mean(values["recall@1"]) == metrics.mean(values["map@r"]) == 0


def test_the_own_row_goes_and_an_exact_copy_stays() -> None:
    vectors = make_embeddings([[1, 0], [1, 0], [0, 1]], ["a", "a", "b"]).vectors
    found = rankings(vectors, vectors, ["a", "a", "b"], ["a", "a", "b"], own_rows=np.arange(3))
    assert [ranks.tolist() for ranks in found] == [[1], [1], []]


def test_own_rows_need_not_be_in_order() -> None:
    vectors = make_embeddings([[1, 0], [0.9, 0.1], [0, 1]], ["a", "a", "b"]).vectors
    found = rankings(vectors[[2, 0]], vectors, ["b", "a"], ["a", "a", "b"], own_rows=np.array([2, 0]))
    assert [ranks.tolist() for ranks in found] == [[], [1]]


def test_blocks_make_no_difference() -> None:
    rng = np.random.default_rng(0)
    vectors = make_embeddings(rng.normal(size=(50, 6)), ["x"] * 50).vectors
    products = [str(label) for label in rng.integers(0, 9, 50)]
    groups = Groups(products, products)
    whole = rankings(vectors, vectors, products, products, own_rows=np.arange(50))
    for block in (1, 7, 49, 50):
        sliced = [one.found().ranks for one in search(vectors, vectors, groups, own_rows=np.arange(50), block=block)]
        assert all(np.array_equal(a, b) for a, b in zip(whole, sliced, strict=True))


def test_ranks_equal_those_of_a_plain_sort() -> None:
    rng = np.random.default_rng(1)
    queries = make_embeddings(rng.normal(size=(20, 6)), ["x"] * 20).vectors
    gallery = make_embeddings(rng.normal(size=(40, 6)), ["x"] * 40).vectors
    asked, shelved = [str(n) for n in rng.integers(0, 5, 20)], [str(n) for n in rng.integers(0, 5, 40)]
    for row, found in enumerate(rankings(queries, gallery, asked, shelved)):
        order = np.argsort(-(queries[row] @ gallery.T))
        expected = [rank for rank, place in enumerate(order, start=1) if shelved[place] == asked[row]]
        assert found.tolist() == expected


@pytest.mark.parametrize("seed", range(4))
def test_pytorch_metric_learning_agrees(seed: int) -> None:
    """On cases without ties; both leave queries without a positive out of every mean."""
    pytest.importorskip("pytorch_metric_learning", reason="pytorch-metric-learning is not installed")
    import torch
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 12, 70)
    labels[:3] = [100, 101, 102]  # lonely ones
    vectors = make_embeddings(rng.normal(size=(70, 8)), ["x"] * 70).vectors
    products = [str(label) for label in labels]
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"), k="max_bin_count"
    )
    e, y = torch.from_numpy(vectors), torch.from_numpy(labels)
    alone = metrics.score(rankings(vectors, vectors, products, products, own_rows=np.arange(70)))
    apart = metrics.score(rankings(vectors[:30], vectors[30:], products[:30], products[30:]))
    for ours, theirs in (
        (alone, calculator.get_accuracy(e, y)),
        (apart, calculator.get_accuracy(e[:30], y[:30], e[30:], y[30:])),
    ):
        assert metrics.mean(ours["recall@1"]) == pytest.approx(theirs["precision_at_1"])
        assert metrics.mean(ours["r_precision"]) == pytest.approx(theirs["r_precision"])
        assert metrics.mean(ours["map@r"]) == pytest.approx(theirs["mean_average_precision_at_r"])


def awkward(seed: int) -> tuple[NDArray[np.float32], list[str], NDArray[np.int64]]:
    """Vectors with ties or copies, products with lone and unknown images, and which rows search, in any order."""
    rng = np.random.default_rng(seed)
    count, dim = int(rng.integers(10, 70)), int(rng.integers(2, 6))
    vectors = rng.normal(size=(count, dim))
    if seed % 3 == 0:
        vectors = np.sign(vectors)
    if seed % 3 == 1:
        vectors[: count // 3] = vectors[rng.integers(0, count, count // 3)]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [str(label or "") for label in rng.integers(0, 12, count)]
    own = rng.permutation(count)[: int(rng.integers(9, count + 1))] if seed % 2 else np.arange(count)
    return vectors.astype(np.float32), names, own


@pytest.mark.parametrize("side", [8, 16, 64, 72])
def test_tiles_and_rows_find_the_same(side: int) -> None:
    for seed in range(18):
        vectors, names, own = awkward(seed)
        products = Groups([names[row] for row in own], names)
        by_tile = {found.query: found for found in tile_search.search(vectors, own, products, side)}
        assert sorted(by_tile) == list(range(len(own)))
        for similarities in search(vectors[own], vectors, products, own_rows=own):
            expected, found = similarities.found(), by_tile[similarities.query]
            assert found.ranks.tolist() == expected.ranks.tolist()
            assert sorted(found.right_rows) == sorted(expected.right_rows)
            assert found.right == pytest.approx(expected.right, abs=1e-6)
            assert found.wrong == pytest.approx(expected.wrong, abs=1e-6)
            if expected.wrong > -np.inf:
                assert similarities.wrong[found.wrong_row] == pytest.approx(expected.wrong, abs=1e-6)


def test_tiles_are_only_taken_where_similarities_are_the_same_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with a zero vector, an exclusion, few queries or large products, nor for whom needs every similarity."""
    taken: list[int] = []
    by_tiles = tile_search.search

    def counted(gallery: NDArray[np.float32], *rest: Any) -> Iterator[Found]:
        taken.append(len(gallery))
        return by_tiles(gallery, *rest)

    monkeypatch.setattr(tile_search, "search", counted)
    vectors, own = make_embeddings(np.random.default_rng(0).normal(size=(60, 5)), ["a"] * 60).vectors, np.arange(60)
    few, many = [str(row // 3) for row in own], [str(row // 30) for row in own]
    holed = vectors.copy()
    holed[7] = 0

    def tiled(gallery: NDArray[np.float32], names: list[str], **options: Any) -> bool:
        before = len(taken)
        found = list(find(gallery, gallery, Groups(names, names), own_rows=own, **{"tile": 8, **options}))
        assert len(found) == 60
        return len(taken) > before

    assert tiled(vectors, few)
    assert not tiled(vectors, many)
    assert not tiled(holed, few)
    assert not tiled(vectors, few, tile=64)
    assert not tiled(vectors, few, excluded=lambda query: own[:1])
    seen: list[int] = []
    assert not tiled(vectors, few, observe=[lambda similarities: seen.append(similarities.query)])
    assert seen == own.tolist()


class Backwards:
    """Takes the tiles of a row from the last to the first, as threads may."""

    def __init__(self, _: int) -> None: ...

    def __enter__(self) -> "Backwards":
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, take: Callable[[int], None], places: range) -> Iterator[None]:
        for place in reversed(places):
            take(place)
        yield from ()


def test_of_equally_close_wrong_images_the_first_is_named_whichever_tile_is_done_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = make_embeddings([[1, 0]] * 2 + [[1, 1]] * 30, ["a"] * 32).vectors
    names, own = ["a"] * 2 + ["b", "c"] * 15, np.arange(32)

    def closest() -> dict[int, int]:
        return {found.query: found.wrong_row for found in tile_search.search(vectors, own, Groups(names, names), 8)}

    forwards = closest()
    monkeypatch.setattr(tile_search, "ThreadPoolExecutor", Backwards)
    assert closest() == forwards
