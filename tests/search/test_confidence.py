"""Probabilities of answers: their formulas, and what they do to hits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.indexes.gallery import Found, ItemDetails
from dmlcli.report.query import Answer
from dmlcli.search import encoding
from dmlcli.search.confidence import LEVELS, AnswerModel, probability, properties, summary
from dmlcli.search.feedback import Move
from dmlcli.search.query_engine import QueryEngine, QueryPlan
from dmlcli.search.query_inputs import QueryInput

MODEL = AnswerModel(
    0.5,
    10.0,
    [0.0, 4.0, 0.0, 0.0, 0.0],
    np.linspace(-1, 1, LEVELS).tolist(),
    np.linspace(0, 2, LEVELS).tolist(),
    300,
    3,
)


def test_confidences_are_a_softmax_of_product_scores() -> None:
    found = np.array([[0.9, 0.7], [0.8, 0.8], [0.1, 0.1]])
    powers = np.exp(10 * np.array([0.8, 0.8, 0.1]))
    assert MODEL.confidences(found) == pytest.approx(powers / powers.sum())
    assert MODEL.confidences(found[:1]) == pytest.approx([1.0])
    assert np.isfinite(replace(MODEL, sharpness=1e6).confidences(found)).all()


def test_properties_are_those_of_the_product_with_the_best_score() -> None:
    found = np.array([[0.9, 0.3], [0.8, 0.8], [0.2, 0.2]])  # scores 0.6, 0.8, 0.2
    assert properties(found, MODEL.scores(found)) == pytest.approx([0.8, 0.2, 0.0, 0.4])
    assert properties(found[:1], MODEL.scores(found[:1])) == pytest.approx([0.9, 0.6, 0.6, 0.0])  # no second product


def test_a_rate_is_a_quantile_of_unknown_photos() -> None:
    found = MODEL.acceptance(0.25)
    assert found.match == pytest.approx(probability(0.5))
    assert found.kept == pytest.approx(0.75)
    rates = [MODEL.acceptance(rate).match for rate in (0.01, 0.05, 0.5)]
    assert rates == sorted(rates, reverse=True)


def test_a_summary_has_the_best_and_the_mean_of_three() -> None:
    assert summary(np.array([0.1, 0.9, 0.6, 0.6], np.float32)) == pytest.approx((0.9, 0.7))
    assert summary(np.array([0.4], np.float32)) == pytest.approx((0.4, 0.4))


class Shelf:
    """Five images of three products; those of the last have no product."""

    place, kind, images, most = "shelf", "Flat", 5, 5
    products = ("mug", "mug", "cup", "", "")
    scores = (0.9, 0.5, 0.6, 0.3, 0.2)

    def search(self, vectors: Any, k: int, *, among: Any = None) -> list[list[Found]]:
        rows = sorted(zip(range(5), self.scores, self.products, strict=True), key=lambda row: -row[1])
        return [[Found(id, score, product, f"{id}.jpg", Path("/shop")) for id, score, product in rows][:k]]

    def vectors(self, ids: Any) -> Any:
        return np.array([[self.scores[id], 0] for id in ids], np.float32)

    def of_products(self, products: Any, among: Any = None) -> Any:
        return [np.array([id for id in range(5) if self.products[id] == product]) for product in products]

    def details(self, ids: Any) -> list[ItemDetails]:
        return [ItemDetails("", {}, None) for _ in ids]


def ask(plan: QueryPlan, minus: bool = False) -> Answer:
    shelf: Any = Shelf()
    query = QueryInput("q", vector=np.array([1, 0], np.float32))
    away = [Move(QueryInput("x", vector=np.array([0, 1], np.float32)), -0.5)] if minus else []
    (answer,) = QueryEngine(shelf, shelf, plan, encoding.known).answers([query], away, None)
    return answer


def test_each_hit_has_the_probability_of_its_product() -> None:
    scores = np.array([(0.9 + 0.7) / 2, 0.6, 0.3, 0.2])
    expected = np.exp(10 * scores) / np.exp(10 * scores).sum()
    products = ask(QueryPlan(5, pool=0.5, answers=MODEL))
    assert [hit.product for hit in products.hits] == ["mug", "cup", "", ""]
    assert [hit.confidence for hit in products.hits] == pytest.approx(expected)
    assert [hit.score for hit in products.hits] == pytest.approx(scores)
    assert products.match == pytest.approx(probability(4 * 0.2))
    images = ask(QueryPlan(5, answers=MODEL))
    assert [hit.confidence for hit in images.hits] == pytest.approx(expected[[0, 1, 0, 2, 3]])


def test_improbable_products_and_answers_are_left_out() -> None:
    assert [hit.product for hit in ask(QueryPlan(5, pool="max", answers=MODEL, min_confidence=0.5)).hits] == ["mug"]
    match = probability(4 * 0.2)
    assert ask(QueryPlan(5, pool="max", answers=MODEL, min_match=match - 1e-6)).hits
    assert not ask(QueryPlan(5, pool="max", answers=MODEL, min_match=match + 1e-6)).hits


class Series(Shelf):
    """A product with more images than a search looks at first, and others that are not as close."""

    images = most = 250
    products: Any = ("mug",) * 200 + tuple(f"cup {number}" for number in range(50))
    scores: Any = tuple(np.linspace(0.95, 0.9, 200)) + tuple(np.linspace(0.6, 0.2, 50))

    def search(self, vectors: Any, k: int, *, among: Any = None) -> list[list[Found]]:
        rows = zip(range(250), self.scores, self.products, strict=True)
        return [[Found(id, score, product, f"{id}.jpg", Path("/shop")) for id, score, product in rows][:k]]

    def of_products(self, products: Any, among: Any = None) -> Any:
        return [np.array([id for id in range(250) if self.products[id] == product]) for product in products]


@pytest.mark.parametrize("pool", [None, "vote", "max", 0.5])
def test_a_probability_does_not_depend_on_the_number_of_hits(pool: Any) -> None:
    shelf: Any = Series()
    query = QueryInput("q", vector=np.array([1, 0], np.float32))
    found = []
    for k, least in ((1, None), (1, 0.8), (30, None)):
        plan = QueryPlan(k, min_score=least, pool=pool, answers=replace(MODEL, sharpness=2.0))
        (answer,) = QueryEngine(shelf, shelf, plan, encoding.known).answers([query], [], None)
        found.append((answer.match, answer.hits[0].confidence))
    assert found[0] == found[1] == found[2] and (found[0][1] or 1) < 0.99


def test_a_query_that_was_moved_has_no_probability() -> None:
    """Probabilities are fitted to photos."""
    answer = ask(QueryPlan(5, pool="max", answers=MODEL), minus=True)
    assert answer.match is None and all(hit.confidence is None for hit in answer.hits)
