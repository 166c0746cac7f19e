"""Feedback: what names of --minus, --right and --wrong mean, and where a query moves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.errors import UsageError
from dmlcli.search import feedback


class Shelf:
    """A gallery and item table of five images: two of a mug, one each of a:1 and a bowl, and one without product."""

    place, root = "shelf", Path("/shop")
    rows = np.eye(5, dtype=np.float32)
    products = ("", "mug", "mug", "a:1", "bowl")

    def vectors(self, ids: Any) -> Any:
        return self.rows[ids]

    def of_product(self, product: str, among: Any = None) -> Any:
        return np.flatnonzero(np.array(self.products) == product) if product else np.empty(0, np.int64)

    def at_path(self, asked: str, is_file: bool) -> Any:
        images = {"a.jpg": [0], "mug/1.jpg": [1], "mug/2.jpg": [2]}
        return np.array([] if is_file else images.get(asked, []), dtype=np.int64)

    def product(self, number: int) -> str:
        return self.products[number]

    def named(self, asked: str) -> Any:
        ids = self.of_product(asked) if len(self.of_product(asked)) else self.at_path(asked, False)
        if not len(ids):
            raise UsageError(f"nothing is called {asked}")
        return ids, None


def read(minus: Any = (), right: Any = (), wrong: Any = (), **more: Any) -> feedback.Feedback:
    shelf: Any = Shelf()
    return feedback.read(minus, right, wrong, shelf, shelf, **more)


def moves(found: feedback.Feedback) -> dict[str, float]:
    return {move.target.name: round(move.weight, 6) for move in found.moves}


@pytest.fixture(autouse=True)
def in_an_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").touch()


def test_minus_leaves_products_out_and_moves_away_from_images_and_photos() -> None:
    found = read(["photo.jpg", "mug", "a.jpg"])
    assert moves(found) == {"photo.jpg": -0.25, "a.jpg": -0.25} and found.without == {0, 1, 2}
    assert found.moves[1].target.vector is not None and found.moves[1].target.vector.tolist() == [1, 0, 0, 0, 0]


def test_minus_takes_a_weight_and_names_keep_their_colons() -> None:
    found = read(["mug:0.3", "a:1", "photo.jpg:2"])
    assert moves(found) == {"mug": -0.3, "photo.jpg": -2.0} and found.without == {1, 2, 3}
    assert moves(read(["a.jpg:0"])) == {} and read(["a.jpg:0"]).without == {0}
    for name in ("mug:-1", "mug:nan"):
        with pytest.raises(UsageError, match="weight"):
            read([name])


def test_right_moves_towards_and_wrong_leaves_out_and_moves_away() -> None:
    found = read(right=["mug", "a.jpg"], wrong=["bowl"])
    assert moves(found) == {"mug": 0.375, "a.jpg": 0.375, "bowl": -0.15} and found.without == {4}
    mean = found.moves[0].target.vector
    assert mean is not None and mean.tolist() == pytest.approx([0, 0.5**0.5, 0.5**0.5, 0, 0])


def test_a_wrong_image_leaves_out_its_product_unless_another_image_of_it_is_right() -> None:
    found = read(wrong=["mug/1.jpg"])
    assert moves(found) == {"mug/1.jpg": -0.15} and found.without == {1, 2}
    assert read(wrong=["a.jpg"]).without == {0}  # without a product
    assert read(right=["mug/2.jpg"], wrong=["mug/1.jpg"]).without == {1}


@pytest.mark.parametrize("name", ["x" * 304, "a\0b", "nothing"])
@pytest.mark.parametrize("option", ["minus", "right", "wrong"])
def test_unknown_names_are_errors(option: str, name: str) -> None:
    with pytest.raises(UsageError):
        read(**{option: [name]})


@pytest.mark.parametrize("option", ["right", "wrong"])
def test_right_and_wrong_are_of_the_index(option: str) -> None:
    with pytest.raises(UsageError):
        read(**{option: ["photo.jpg"]})


def test_files_are_no_names_for_a_server() -> None:
    with pytest.raises(UsageError):
        read(["photo.jpg"], files=False)


def test_one_name_cannot_be_right_and_wrong() -> None:
    with pytest.raises(UsageError, match="mug is right and wrong"):
        read(right=["mug"], wrong=["mug"])


def test_a_query_moves_by_rocchio() -> None:
    query, targets = np.array([1, 0], np.float32), np.array([[0, 1], [1, 0]], np.float32)
    assert feedback.moved(query, targets, [0.75, -0.25]).tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert feedback.moved(query, targets[1:], [-1.0]).tolist() == [0, 0]  # nothing is left, and no NaN
