"""The rank of the right product equals its definition, image by image."""

import numpy as np
import pytest

from dmlcli.product_score import COMPARED, product_score
from dmlcli.ranking import Groups, ProductRanks, Scores, search


def defined(cosines: Scores, names: list[str], right: str, weight: float) -> int:
    """The rank, with plain loops over the products that have the best images."""
    groups = {name: cosines[[own == name for own in names]] for name in names}
    others = sorted((name for name in groups if name != right), key=lambda name: -groups[name].max())[: COMPARED - 1]
    score = product_score(groups[right], weight)
    return 1 + sum(product_score(groups[name], weight) >= score for name in others)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_rank_is_that_of_plain_loops(weight: float) -> None:
    rng = np.random.default_rng(0)
    gallery = rng.normal(size=(60, 4)).astype(np.float32)
    gallery /= np.linalg.norm(gallery, axis=1, keepdims=True)
    names = [f"p{rng.integers(12)}" for _ in gallery]
    queries, asked = gallery[:20] + np.float32(0.3) * gallery[20:40], names[:20]
    ranks, found = ProductRanks(names, weight), []
    for one in search(queries, gallery, Groups(asked, names)):
        found.append(ranks.rank(one.right, one.wrong))
        assert found[-1] == defined(gallery @ queries[one.query], names, asked[one.query], weight)
    assert min(found) == 1 and max(found) > 1


def test_equal_scores_count_against_the_right_product() -> None:
    ranks = ProductRanks(["a", "b", "c"], 0.0)
    assert ranks.rank(np.array([0.5], np.float32), np.array([-np.inf, 0.5, 0.4], np.float32)) == 2


def test_images_without_a_product_are_products_of_their_own() -> None:
    ranks = ProductRanks(["a", "", ""], 0.5)
    assert ranks.rank(np.array([0.5], np.float32), np.array([-np.inf, 0.9, 0.8], np.float32)) == 3


def test_more_images_ahead_than_are_compared_are_counted_by_their_best() -> None:
    names = ["right", *(f"p{number}" for number in range(40))]
    wrong = np.array([-np.inf, *[0.9] * 40], np.float32)
    assert ProductRanks(names, 1.0).rank(np.array([0.1], np.float32), wrong) == 41
