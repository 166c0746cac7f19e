"""The images of a product folded into one hit: by its best image, the mean of all, or the votes of the closest."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dmlcli.indexes.gallery import Found
from dmlcli.product_score import COMPARED
from dmlcli.search.product_grouping import VOTERS, ImageCandidate, Pool, fold


def folded(
    pool: Pool, rows: list[tuple[str, float]], stored: dict[str, list[float]] | None = None
) -> list[tuple[str, float]]:
    """The products, and their scores."""

    def cosines_of(products: Sequence[str]) -> list[NDArray[np.float32]]:
        return [np.array((stored or {})[product], np.float32) for product in products]

    found = [Found(id, score, name, f"{id}.jpg", Path()) for id, (name, score) in enumerate(rows)]
    candidates = [ImageCandidate(row.id, row.product, row, row.score, row.score) for row in found]
    return [(one.product, one.score) for one in fold(candidates, pool, cosines_of)]


def test_votes_are_shares_of_the_scores() -> None:
    found = folded("vote", [("a", 0.6), ("b", 0.5), ("b", 0.4), ("c", 0.5)])
    assert [name for name, _ in found] == ["b", "a", "c"]
    assert [score for _, score in found] == pytest.approx([0.45, 0.3, 0.25])


def test_images_that_point_away_do_not_vote() -> None:
    """An image with a negative cosine adds nothing, and takes nothing from its product."""
    found = folded("vote", [("a", 0.6), ("b", 0.4), ("a", -0.5), ("c", -0.1)])
    assert [name for name, _ in found] == ["a", "b", "c"]
    assert [score for _, score in found] == pytest.approx([0.6, 0.4, 0])
    assert folded("vote", [("a", -0.2), ("b", -0.3)]) == [("a", 0), ("b", 0)]


def test_only_the_closest_images_vote() -> None:
    rows = [("a", 0.9)] * (VOTERS - 1) + [("b", 0.8)] + [("c", 0.7)] * 30
    assert [name for name, _ in folded("vote", rows)] == ["a", "b"]


def test_the_best_image_and_the_mean_of_all() -> None:
    rows = [("a", 0.9), ("b", 0.8), ("", 0.7), ("a", 0.1)]
    assert folded("max", rows) == [("a", 0.9), ("b", 0.8), ("", 0.7)]
    found = folded("mean", rows, {"a": [0.9, 0.1], "b": [0.8]})
    assert [name for name, _ in found] == ["b", "", "a"]
    assert [score for _, score in found] == pytest.approx([0.8, 0.7, 0.5])


def test_a_product_counts_by_its_best_image_and_its_best_three() -> None:
    rows = [("a", 0.9), ("b", 0.8), ("b", 0.8), ("", 0.75), ("b", 0.8), ("a", 0.3)]
    stored = {"a": [0.9, 0.3, 0.0], "b": []}  # of b three images are in the list: no others are asked for
    found = folded("top3", rows, stored)
    assert [name for name, _ in found] == ["b", "", "a"]
    assert [score for _, score in found] == pytest.approx([0.8, 0.75, 0.4])
    assert [score for _, score in folded(0.5, rows, stored)] == pytest.approx([0.8, 0.75, 0.65])
    assert folded(0.0, rows) == folded("max", rows) == [("a", 0.9), ("b", 0.8), ("", 0.75)]


def test_one_image_a_product_is_ranked_by_it() -> None:
    rows = [(name, score) for name, score in zip("abc", (0.9, 0.8, 0.7), strict=True)]
    assert [name for name, _ in folded("top3", rows, {name: [score] for name, score in rows})] == ["a", "b", "c"]


def test_scores_fall_also_behind_the_products_that_are_compared() -> None:
    rows = [(f"p{number}", 0.9 - 0.01 * number) for number in range(COMPARED + 5)]
    stored = {name: [score, score - 0.5, score - 0.5] for name, score in rows}
    scores = [score for _, score in folded(1.0, rows, stored)]
    assert scores == sorted(scores, reverse=True) and len(scores) == COMPARED + 5
