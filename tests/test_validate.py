"""The score that chooses between models: a search of validation images, by the same ranks as eval."""

import numpy as np
import pytest

from dmlcli import metrics
from dmlcli.catalog import TrainingSplit
from dmlcli.learn.validate import Validation
from dmlcli.ranking import rankings
from tests.conftest import make_embeddings

PRODUCTS = ["x", "a", "b", "a", "b", "c", "a"]
VECTORS = make_embeddings(np.random.default_rng(0).normal(size=(7, 3)), PRODUCTS).vectors


def test_leave_one_out_among_held_out_products() -> None:
    rows = [1, 2, 3, 4, 5]
    validation = Validation(PRODUCTS, TrainingSplit([0], rows, rows, ["a", "b", "c"], ""))
    assert validation.rows == rows and validation
    own = [PRODUCTS[row] for row in rows]
    found = rankings(VECTORS[rows], VECTORS[rows], own, own, own_rows=np.arange(5))
    expected = metrics.mean(metrics.score(found)["map@r"])
    assert validation.score(VECTORS[rows]) == pytest.approx(expected)


def test_queries_of_val_among_the_gallery_of_train() -> None:
    split = TrainingSplit([0, 1, 2], [6, 4], [2, 1, 0], [], "")
    validation = Validation(PRODUCTS, split)
    assert validation.rows == [0, 1, 2, 4, 6]
    found = rankings(VECTORS[[6, 4]], VECTORS[[2, 1, 0]], ["a", "b"], ["b", "a", "x"])
    expected = metrics.mean(metrics.score(found)["map@r"])
    assert validation.score(VECTORS[validation.rows]) == pytest.approx(expected)


def test_nothing_to_validate_with_is_false() -> None:
    assert not Validation(PRODUCTS, TrainingSplit([0, 1], [], [], [], ""))


def test_equal_embeddings_score_zero() -> None:
    rows = [1, 2, 3, 4]
    assert Validation(PRODUCTS, TrainingSplit([], rows, rows, [], "")).score(VECTORS[[0, 0, 0, 0]]) == 0
