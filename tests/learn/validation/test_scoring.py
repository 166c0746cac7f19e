"""The score that chooses between models: a search of validation images, by the same ranks as eval."""

import numpy as np
import pytest

from dmlcli import metrics
from dmlcli.learn.validation.folds import Search
from dmlcli.learn.validation.scoring import Searches, geometric_mean
from dmlcli.ranking import rankings
from tests.conftest import make_embeddings

PRODUCTS = ["x", "a", "b", "a", "b", "c", "a"]
VECTORS = make_embeddings(np.random.default_rng(0).normal(size=(7, 3)), PRODUCTS).vectors


def test_leave_one_out_among_held_out_products() -> None:
    rows = [1, 2, 3, 4, 5]
    validation = Searches(PRODUCTS, {"unseen": Search(rows, rows)})
    assert validation.rows == rows and validation
    own = [PRODUCTS[row] for row in rows]
    found = rankings(VECTORS[rows], VECTORS[rows], own, own, own_rows=np.arange(5))
    expected = metrics.mean(metrics.score(found)["map@r"])
    assert validation.scores(VECTORS[rows]) == {"unseen": pytest.approx(expected)}


def test_queries_of_val_among_the_gallery_of_train() -> None:
    validation = Searches(PRODUCTS, {"seen": Search([4, 6], [0, 1, 2])})
    assert validation.rows == [0, 1, 2, 4, 6]
    found = rankings(VECTORS[[4, 6]], VECTORS[[0, 1, 2]], ["b", "a"], ["x", "a", "b"])
    expected = metrics.mean(metrics.score(found)["map@r"])
    assert validation.scores(VECTORS[validation.rows]) == {"seen": pytest.approx(expected)}


def test_nothing_to_validate_with_is_false() -> None:
    assert not Searches(PRODUCTS, {})


def test_equal_embeddings_score_zero() -> None:
    rows = [1, 2, 3, 4]
    assert Searches(PRODUCTS, {"unseen": Search(rows, rows)}).scores(VECTORS[[0, 0, 0, 0]]) == {"unseen": 0}


def test_a_query_that_is_in_the_gallery_does_not_find_itself() -> None:
    """Some rows searched among all of them: leave-one-out with fewer queries."""
    rows, few = [1, 2, 3, 4, 5], [2, 4]
    validation = Searches(PRODUCTS, {"unseen": Search(few, rows)})
    own = [PRODUCTS[row] for row in rows]
    found = rankings(VECTORS[few], VECTORS[rows], ["b", "b"], own, own_rows=np.array([1, 3]))
    expected = metrics.mean(metrics.score(found)["map@r"])
    assert validation.scores(VECTORS[rows]) == {"unseen": pytest.approx(expected)}


def test_relative_gains_in_either_search_count_the_same() -> None:
    assert geometric_mean([0.8, 0.2]) == pytest.approx(geometric_mean([0.4, 0.4])) == pytest.approx(0.4)
