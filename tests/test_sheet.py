"""The picture of the answer: a row for each query, a tile for each hit, whatever they are called."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmlcli import sheet
from dmlcli.errors import CannotRun
from dmlcli.report.query import Answer, Hit
from tests.conftest import make_shop


def answer(shop: Path, hits: int, product: str = "mug") -> Answer:
    image = str(shop / "product-01" / "0.png")
    found = (Hit(rank, 0.9 - rank / 10, product, image) for rank in range(1, hits + 1))
    return Answer(str(shop / "product-00" / "0.png"), tuple(found))


def test_queries_stand_left_and_hits_right_of_them(shop: Path, tmp_path: Path) -> None:
    sheet.draw(tmp_path / "s.png", [answer(shop, 3), answer(shop, 1)])
    with Image.open(tmp_path / "s.png") as picture:
        one, pixels = picture.size, np.asarray(picture.convert("RGB"), dtype=int)
    tiles = {
        name: np.asarray(Image.open(shop / name / "0.png").convert("RGB"), dtype=int).mean((0, 1))
        for name in ("product-00", "product-01")
    }
    query, hit = pixels[40:180, 30:190].mean((0, 1)), pixels[40:180, 240:380].mean((0, 1))
    assert abs(query - tiles["product-00"]).max() < abs(query - tiles["product-01"]).max()
    assert abs(hit - tiles["product-01"]).max() < abs(hit - tiles["product-00"]).max()
    sheet.draw(tmp_path / "s.png", [answer(shop, 3)])
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width == one[0] and picture.height < one[1]


def test_the_score_is_written_below_its_tile(shop: Path, tmp_path: Path) -> None:
    pictures = []
    for score in (0.111, 0.888):
        image = str(shop / "product-01" / "0.png")
        sheet.draw(tmp_path / "s.png", [Answer(image, (Hit(1, score, "mug", image),))])
        with Image.open(tmp_path / "s.png") as picture:
            pictures.append(np.asarray(picture.convert("L"), dtype=int))
    changed = np.argwhere(pictures[0] != pictures[1])
    assert len(changed) and changed[:, 0].min() >= 200  # below the tile's 20 + 180 pixels


def test_answers_pass_while_they_are_drawn(shop: Path, tmp_path: Path) -> None:
    answers = [answer(shop, 2), answer(shop, 0)]
    passing = sheet.drawing(tmp_path / "s.png", answers)
    assert next(passing) is answers[0] and not (tmp_path / "s.png").exists()
    assert next(passing) is answers[1]
    del passing  # nobody asks for more
    assert (tmp_path / "s.png").exists()


@pytest.mark.parametrize("product", ["", "x" * 300, "two\nlines", "größe 😀", os.fsdecode(b"caf\xe9"), "tab\tbed"])
def test_products_may_be_called_anything(tmp_path: Path, product: str) -> None:
    sheet.draw(tmp_path / "s.png", [answer(make_shop(tmp_path / "shop"), 1, product)])
    assert (tmp_path / "s.png").exists()


def test_what_has_no_file_gets_an_empty_tile(tmp_path: Path) -> None:
    sheet.draw(tmp_path / "s.png", [Answer("-", (Hit(1, 0.5, "gone", "/nowhere/1.png"),))])
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.convert("RGB").getpixel((100, 100)) == (0xE5, 0xE5, 0xE0)


@pytest.mark.parametrize("name", ["s.nonsense", "s"])
def test_a_picture_that_cannot_be_written_is_told(shop: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotRun, match="cannot write") as caught:
        sheet.draw(tmp_path / name, [answer(shop, 1)])
    assert ".png" in caught.value.hint


def test_a_picture_that_cannot_be_drawn_keeps_the_old_one(shop: Path, tmp_path: Path) -> None:
    """WebP takes no more than 16,383 pixels."""
    (tmp_path / "s.webp").write_bytes(b"old")
    with pytest.raises(CannotRun, match="cannot write"):
        sheet.draw(tmp_path / "s.webp", [answer(shop, 1)] * 75)
    assert (tmp_path / "s.webp").read_bytes() == b"old" and not list(tmp_path.glob(".s*"))
