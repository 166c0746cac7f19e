"""What is left out of an answer, and what no answer may hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.errors import ImageError, IndexFileError
from dmlcli.indexes.gallery import Found, ItemDetails
from dmlcli.report.skipped import Skipped
from dmlcli.search import encoding
from dmlcli.search.query_engine import QueryEngine, QueryPlan
from dmlcli.search.query_inputs import QueryInput
from dmlcli.search.stream import encode


class Shelf:
    """Six images of three products, the closest first, whoever asks."""

    place, kind, images, most = "shelf", "Flat", 6, 6
    products: tuple[str, ...] = ("mug", "mug", "cup", "cup", "jar", "jar")

    def __init__(self, scores: list[float] | None = None) -> None:
        self.scores = scores or [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]

    def search(self, vectors: Any, k: int, *, among: Any = None) -> list[list[Found]]:
        rows = zip(range(self.images), self.scores, self.products, strict=True)
        return [[Found(id, score, product, f"{id}.jpg", Path("/shop")) for id, score, product in rows][:k]]

    def details(self, ids: Any) -> list[ItemDetails]:
        return [ItemDetails("", {}, None) for _ in ids]


def ask(plan: QueryPlan, shelf: Any) -> list[str]:
    query = QueryInput("q", vector=np.array([1, 0], np.float32))
    (answer,) = QueryEngine(shelf, shelf, plan, encoding.known).answers([query], [], None)
    return [hit.image for hit in answer.hits]


def test_what_is_left_out_makes_room_for_others() -> None:
    assert ask(QueryPlan(2), Shelf()) == ["/shop/0.jpg", "/shop/1.jpg"]
    assert ask(QueryPlan(2, without=frozenset({0, 1})), Shelf()) == ["/shop/2.jpg", "/shop/3.jpg"]
    assert ask(QueryPlan(2, without=frozenset({1, 2}), pool="max"), Shelf()) == ["/shop/0.jpg", "/shop/3.jpg"]
    assert ask(QueryPlan(10, without=frozenset(range(6))), Shelf()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_damage(bad: float) -> None:
    with pytest.raises(IndexFileError, match="shelf returned NaN or infinite scores"):
        ask(QueryPlan(2), Shelf([0.9, bad, 0.7, 0.6, 0.5, 0.4]))


def forward(batch: Any) -> Any:
    """The first number of each image; NaN for the second of a query."""
    values = batch.reshape(len(batch), -1)[:, :1]
    return np.where(values == 2, np.nan, values)


def view(data: bytes) -> Any:
    return np.full((3, 1, 1), float(data), np.float32)


@pytest.mark.parametrize("way", [encoding.one_by_one, encode])
def test_a_vector_of_the_model_that_is_not_finite_is_a_failure(way: Any) -> None:
    done = list(way([QueryInput(name, name.encode()) for name in "123"], view, forward))
    assert [one.vector is None for one in done] == [False, True, False]
    assert "NaN" in str(done[1].failure)
    skipped: list[Skipped] = []
    shelf: Any = Shelf()
    answers = QueryEngine(shelf, shelf, QueryPlan(1), lambda asked: way(asked, view, forward))
    asked = [QueryInput(name, name.encode()) for name in "123"]
    assert [answer.query for answer in answers.answers(asked, [], skipped)] == ["1", "3"]
    assert [one.path for one in skipped] == ["2"]
    with pytest.raises(ImageError, match="NaN"):
        list(answers.answers([QueryInput("2", b"2")], [], None))


def test_a_score_of_exactly_the_least_is_a_hit() -> None:
    """Else an identical photo would not be found with --min-score 1."""
    assert ask(QueryPlan(6, min_score=0.7), Shelf()) == ["/shop/0.jpg", "/shop/1.jpg", "/shop/2.jpg"]
    assert ask(QueryPlan(6, min_score=1.0), Shelf([1.0, 0.9, 0.9, 0.9, 0.9, 0.9])) == ["/shop/0.jpg"]


class Crowd(Shelf):
    """A product of many images, the closest of all, then ten of one image each."""

    def __init__(self, many: int) -> None:
        self.images = self.most = many + 10
        self.crowd = ("mug",) * many + tuple(f"cup {number}" for number in range(10))
        self.asked: list[int] = []

    def search(self, vectors: Any, k: int, *, among: Any = None) -> list[list[Found]]:
        self.asked.append(k)
        rows = enumerate(self.crowd[:k])
        return [[Found(id, 1 - id / 10_000, product, f"{id}.jpg", Path("/shop")) for id, product in rows]]

    def vectors(self, ids: Any) -> Any:
        return np.array([[1 - id / 10_000, 0] for id in ids], np.float32)

    def of_product(self, product: str, among: Any = None) -> Any:
        return np.array([id for id, name in enumerate(self.crowd) if name == product])

    def of_products(self, products: Any, among: Any = None) -> Any:
        return [self.of_product(product, among) for product in products]


@pytest.mark.parametrize("pool", ["max", "top3", 0.5, "mean"])
def test_a_product_of_many_images_does_not_crowd_out_the_others(pool: Any) -> None:
    shelf = Crowd(3000)
    found = ask(QueryPlan(3, pool=pool), shelf)
    assert [int(Path(image).stem) for image in found] == [0, 3000, 3001]
    assert len(shelf.asked) > 1 and shelf.asked[-1] >= 3002


def test_no_search_looks_deeper_than_the_least_score_or_the_voters() -> None:
    shelf = Crowd(3000)
    assert ask(QueryPlan(3, pool="max", min_score=0.999), shelf) == ["/shop/0.jpg"] and len(shelf.asked) == 1
    shelf = Crowd(3000)
    assert ask(QueryPlan(3, pool="vote"), shelf) == ["/shop/0.jpg"] and len(shelf.asked) == 1


def test_fewer_products_than_asked_for_end_the_search() -> None:
    shelf = Crowd(50)
    assert len(ask(QueryPlan(30, pool="max"), shelf)) == 11


def test_what_lies_deeper_than_re_ranking_looks_stays_behind() -> None:
    """The first two change places; the others keep theirs, and their scores do not rise above those of the first."""
    shelf: Any = Crowd(2)

    class Turned:
        name, depth = "turned", 2

        def __call__(self, query: Any, candidates: Any) -> Any:
            return np.arange(len(candidates), dtype=np.float32) / 10

    way: Any = Turned()
    query = QueryInput("q", vector=np.array([1, 0], np.float32))
    (answer,) = QueryEngine(shelf, shelf, QueryPlan(5, rerank=way), encoding.known).answers([query], [], None)
    assert [Path(hit.image).stem for hit in answer.hits] == ["1", "0", "2", "3", "4"]
    assert [hit.score for hit in answer.hits] == pytest.approx([0.1, 0, 0, 0, 0])


class Pairs(Shelf):
    """Two products of two images each, whose cosines are the first numbers of their vectors."""

    images = most = 4
    products = ("mug", "cup", "cup", "mug")

    def __init__(self) -> None:
        super().__init__([0.9, 0.8, 0.7, 0.2])

    def vectors(self, ids: Any) -> Any:
        return np.array([[self.scores[id], 0] for id in ids], np.float32)

    def of_product(self, product: str, among: Any = None) -> Any:
        return np.array([id for id in range(4) if self.products[id] == product])

    def of_products(self, products: Any, among: Any = None) -> Any:
        return [self.of_product(product, among) for product in products]


@pytest.mark.parametrize(
    ("plan", "means"),
    [
        (QueryPlan(2), {"cup": 0.75, "mug": 0.55}),
        (QueryPlan(2, without=frozenset({3})), {"mug": 0.9, "cup": 0.75}),
        (QueryPlan(2, without=frozenset({2, 3})), {"mug": 0.9, "cup": 0.8}),
        (QueryPlan(2, min_score=0.5), {"mug": 0.9, "cup": 0.75}),
        (QueryPlan(2, min_score=0.75), {"mug": 0.9, "cup": 0.8}),
        (QueryPlan(2, min_score=0.85), {"mug": 0.9}),
    ],
)
def test_the_mean_of_a_product_counts_only_images_that_may_be_hits(plan: QueryPlan, means: dict[str, float]) -> None:
    """Images removed by --minus and images below --min-score do not count."""
    shelf: Any = Pairs()
    query = QueryInput("q", vector=np.array([1, 0], np.float32))
    engine = QueryEngine(shelf, shelf, plan._replace(pool="mean"), encoding.known)
    (answer,) = engine.answers([query], [], None)
    assert [hit.product for hit in answer.hits] == list(means)
    assert [hit.score for hit in answer.hits] == pytest.approx(list(means.values()))
