"""What is left out of an answer, and what no answer may hold."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.errors import ImageError, IndexFileError
from dmlcli.indexes.gallery import Found
from dmlcli.report.skipped import Skipped
from dmlcli.search import encoding
from dmlcli.search.answers import Answerer, Plan
from dmlcli.search.sources import Source
from dmlcli.search.stream import encode


class Shelf:
    """Six images of three products, the closest first, whoever asks."""

    place, kind, images, most = "shelf", "Flat", 6, 6
    products = ("mug", "mug", "cup", "cup", "jar", "jar")

    def __init__(self, scores: list[float] | None = None) -> None:
        self.scores = scores or [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]

    def search(self, vectors: Any, k: int, *, among: Any = None) -> list[list[Found]]:
        rows = zip(range(6), self.scores, self.products, strict=True)
        return [[Found(id, score, product, f"{id}.jpg", Path("/shop")) for id, score, product in rows][:k]]

    def row(self, number: int) -> tuple[str, dict[str, Any]]:
        return "", {}

    def box(self, number: int) -> None:
        return None


def ask(plan: Plan, shelf: Any) -> list[str]:
    query = Source("q", vector=np.array([1, 0], np.float32))
    (answer,) = Answerer(shelf, shelf, plan, encoding.known).answers([query], [], None)
    return [hit.image for hit in answer.hits]


def test_what_is_left_out_makes_room_for_others() -> None:
    assert ask(Plan(2), Shelf()) == ["/shop/0.jpg", "/shop/1.jpg"]
    assert ask(Plan(2, without=frozenset({0, 1})), Shelf()) == ["/shop/2.jpg", "/shop/3.jpg"]
    assert ask(Plan(2, without=frozenset({1, 2}), pool="max"), Shelf()) == ["/shop/0.jpg", "/shop/3.jpg"]
    assert ask(Plan(10, without=frozenset(range(6))), Shelf()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_damage(bad: float) -> None:
    with pytest.raises(IndexFileError, match="shelf gives scores that are not finite"):
        ask(Plan(2), Shelf([0.9, bad, 0.7, 0.6, 0.5, 0.4]))


def forward(batch: Any) -> Any:
    """The first number of each image; NaN for the second of a query."""
    values = batch.reshape(len(batch), -1)[:, :1]
    return np.where(values == 2, np.nan, values)


def view(data: bytes) -> Any:
    return np.full((3, 1, 1), float(data), np.float32)


@pytest.mark.parametrize("way", [encoding.one_by_one, encode])
def test_a_vector_of_the_model_that_is_not_finite_is_a_failure(way: Any) -> None:
    done = list(way([Source(name, name.encode()) for name in "123"], view, forward))
    assert [one.vector is None for one in done] == [False, True, False]
    assert "NaN" in str(done[1].failure)
    skipped: list[Skipped] = []
    shelf: Any = Shelf()
    answers = Answerer(shelf, shelf, Plan(1), lambda asked: way(asked, view, forward))
    asked = [Source(name, name.encode()) for name in "123"]
    assert [answer.query for answer in answers.answers(asked, [], skipped)] == ["1", "3"]
    assert [one.path for one in skipped] == ["2"]
    with pytest.raises(ImageError, match="NaN"):
        list(answers.answers([Source("2", b"2")], [], None))
