"""The picture of the answer: a row for each query, a tile for each hit, whatever they are called."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dmlcli import progress
from dmlcli.errors import CannotRun
from dmlcli.pages import contact_sheet, fonts
from dmlcli.report.query import Answer, Columns, Hit
from tests.conftest import make_shop


def answer(shop: Path, hits: int, product: str = "mug") -> Answer:
    image = str(shop / "product-01" / "0.png")
    found = (Hit(rank, 0.9 - rank / 10, product, image) for rank in range(1, hits + 1))
    return Answer(str(shop / "product-00" / "0.png"), tuple(found))


def test_queries_stand_left_and_hits_right_of_them(shop: Path, tmp_path: Path) -> None:
    contact_sheet.draw(tmp_path / "s.png", [answer(shop, 3), answer(shop, 1)])
    with Image.open(tmp_path / "s.png") as picture:
        one, pixels = picture.size, np.asarray(picture.convert("RGB"), dtype=int)
    tiles = {
        name: np.asarray(Image.open(shop / name / "0.png").convert("RGB"), dtype=int).mean((0, 1))
        for name in ("product-00", "product-01")
    }
    query, hit = pixels[40:180, 30:190].mean((0, 1)), pixels[40:180, 240:380].mean((0, 1))
    assert abs(query - tiles["product-00"]).max() < abs(query - tiles["product-01"]).max()
    assert abs(hit - tiles["product-01"]).max() < abs(hit - tiles["product-00"]).max()
    contact_sheet.draw(tmp_path / "s.png", [answer(shop, 3)])
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.width == one[0] and picture.height < one[1]


def test_the_score_is_written_below_its_tile(shop: Path, tmp_path: Path) -> None:
    pictures = []
    for score in (0.111, 0.888):
        image = str(shop / "product-01" / "0.png")
        contact_sheet.draw(tmp_path / "s.png", [Answer(image, (Hit(1, score, "mug", image),))])
        with Image.open(tmp_path / "s.png") as picture:
            pictures.append(np.asarray(picture.convert("L"), dtype=int))
    changed = np.argwhere(pictures[0] != pictures[1])
    assert len(changed) and changed[:, 0].min() >= 200  # below the tile's 20 + 180 pixels


def test_answers_pass_while_they_are_drawn(shop: Path, tmp_path: Path) -> None:
    answers = [answer(shop, 2), answer(shop, 0)]
    passing = contact_sheet.drawing(tmp_path / "s.png", answers, {})
    assert next(passing) is answers[0] and not (tmp_path / "s.png").exists()
    assert next(passing) is answers[1]
    del passing  # nobody asks for more
    assert (tmp_path / "s.png").exists()


@pytest.mark.parametrize("product", ["", "x" * 300, "two\nlines", "größe 😀", os.fsdecode(b"caf\xe9"), "tab\tbed"])
def test_products_may_be_called_anything(tmp_path: Path, product: str) -> None:
    contact_sheet.draw(tmp_path / "s.png", [answer(make_shop(tmp_path / "shop"), 1, product)])
    assert (tmp_path / "s.png").exists()


def test_what_has_no_file_gets_an_empty_tile(tmp_path: Path) -> None:
    contact_sheet.draw(tmp_path / "s.png", [Answer("-", (Hit(1, 0.5, "gone", "/nowhere/1.png"),))])
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.convert("RGB").getpixel((100, 100)) == (0xE5, 0xE5, 0xE0)


@pytest.mark.parametrize("name", ["s.nonsense", "folder.png", "s", "x" * 300 + ".png"])
def test_a_picture_that_cannot_be_written_is_reported(shop: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(CannotRun, match="cannot write") as caught:
        contact_sheet.draw(tmp_path / name, [answer(shop, 1)])
    assert caught.value.hint


def test_a_picture_that_cannot_be_drawn_keeps_the_old_one(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WebP takes no more than 16,383 pixels."""
    (tmp_path / "s.webp").write_bytes(b"old")
    monkeypatch.setattr(contact_sheet, "_MOST_HEIGHT", 20_000)
    with pytest.raises(CannotRun, match="cannot write"):
        contact_sheet.draw(tmp_path / "s.webp", [answer(shop, 1)] * 75)
    assert (tmp_path / "s.webp").read_bytes() == b"old" and not list(tmp_path.glob(".s*"))


def test_a_picture_that_fails_leaves_the_old_one(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s.png").write_bytes(b"old")

    def fail(self: Image.Image, file: Path) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(CannotRun, match="no space left"):
        contact_sheet.draw(tmp_path / "s.png", [answer(shop, 1)])
    assert (tmp_path / "s.png").read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir() if file.name != "shop"] == ["s.png"]


def size(answers: list[Answer], tmp_path: Path) -> tuple[int, int]:
    contact_sheet.draw(tmp_path / "s.png", answers)
    with Image.open(tmp_path / "s.png") as picture:
        return picture.size


def tiles(answers: list[Answer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The sides of the tiles that are drawn."""
    drawn: list[int] = []

    def thumbnail(_: object, side: int, crop: Any = None) -> Image.Image:
        drawn.append(side)
        return Image.new("RGB", (side, side))

    monkeypatch.setattr(contact_sheet, "_thumbnail", thumbnail)
    contact_sheet.draw(tmp_path / "s.png", answers)
    return drawn


def test_all_hits_are_drawn_ten_in_a_line(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "write", lambda *_: None)
    ten, hundred = answer(shop, 10), answer(shop, 100)
    assert tiles([hundred, ten], monkeypatch, tmp_path) == [180] * (101 + 11)
    width, height = size([ten], tmp_path)
    assert size([hundred], tmp_path) == (width, height + 9 * (180 + 40 + 12))
    assert size([hundred, ten], tmp_path) == (width, height + 10 * (180 + 40 + 12))


@pytest.mark.parametrize(
    ("queries", "hits", "drawn", "side", "said"),
    [
        (20, 10, 20, 180, ""),
        (90, 10, 90, 96, ""),
        (200, 10, 93, 96, "shows the first 93 of 200 queries"),
        (1, 2000, 1, 96, "shows the first 1029 of 2000 hits"),
        (3, 500, 2, 96, "shows the first 2 of 3 queries"),
    ],
)
def test_many_tiles_are_smaller_and_what_is_left_out_is_said(
    shop: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    queries: int,
    hits: int,
    drawn: int,
    side: int,
    said: str,
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(progress, "warn", warnings.append)
    monkeypatch.setattr(contact_sheet, "_save", lambda picture, target: None)
    monkeypatch.setattr(fonts, "write", lambda *_: None)
    made: list[int] = []

    def thumbnail(_: object, side: int, crop: Any = None) -> Image.Image:
        made.append(side)
        return Image.new("RGB", (side, side))

    monkeypatch.setattr(contact_sheet, "_thumbnail", thumbnail)
    list(contact_sheet.drawing(tmp_path / "s.png", (answer(shop, hits) for _ in range(queries)), {}))
    assert set(made) == {side} and len(made) == drawn * (1 + min(hits, 1029))
    assert [said in warning for warning in warnings] == ([True] if said else [])
    assert len(made) * side**2 <= 9_500_000


def test_a_high_sheet_goes_on_in_other_files(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    contact_sheet.draw(tmp_path / "s.png", [answer(shop, 1)] * 40, heading={"catalog": "shop"})
    heights = []
    for name in ("s.png", "s-2.png", "s-3.png"):
        with Image.open(tmp_path / name) as picture:
            heights.append(picture.height)
    assert max(heights) <= 4000 and sum(height // 232 for height in heights) == 40
    assert not (tmp_path / "s-4.png").exists() and notes == [
        f"{tmp_path / 's.png'} goes on in {tmp_path / 's-2.png'} to {tmp_path / 's-3.png'}"
    ]


def test_a_pdf_has_all_pages(shop: Path, tmp_path: Path) -> None:
    contact_sheet.draw(tmp_path / "s.pdf", [answer(shop, 1)] * 40)
    data = (tmp_path / "s.pdf").read_bytes()
    assert data.startswith(b"%PDF") and data.count(b"/Type /Page\n") + data.count(b"/Type /Page ") == 3
    assert [file.name for file in tmp_path.iterdir() if file.name != "shop"] == ["s.pdf"]


def test_heading_and_columns_are_written(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(fonts, "write", lambda pen, corner, text, *_: written.append(text))
    image = str(shop / "product-01" / "0.png")
    shown = Answer(image, (Hit(1, 0.9, "mug", image, columns={"price": 12.5}),))
    contact_sheet.draw(
        tmp_path / "s.png", [shown], 1, {"catalog": "shop", "model": "abc"}, Columns({"price": 2}, chosen=True)
    )
    assert written == ["catalog shop · model abc", "query", "product-01/0.png", "1   0.900", "mug", "12.50"]


def lettering(product: str, shop: Path, tmp_path: Path) -> np.ndarray:
    """What is written below the tile of a hit."""
    contact_sheet.draw(tmp_path / "s.png", [answer(shop, 1, product)])
    with Image.open(tmp_path / "s.png") as picture:
        return np.asarray(picture.convert("L"), dtype=int)[222:240, 220:420]


@pytest.mark.parametrize("letters", ["äé", "ñß", "שלום", "Ωж", "يب", "№€"])
def test_letters_of_many_scripts_are_drawn_and_differ(shop: Path, tmp_path: Path, letters: str) -> None:
    boxes = "\U0010ffff" * len(letters)
    seen = [lettering(text, shop, tmp_path) for text in (letters, boxes, letters[::-1])]
    assert (seen[0] != seen[1]).any() and (seen[0] != seen[2]).any()


def test_characters_without_a_font_are_said(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_font_of", lambda letter: None if letter in "茶碗" else fonts._OWN)
    warnings: list[str] = []
    monkeypatch.setattr(progress, "warn", warnings.append)
    as_unknown = lettering("茶碗 9", shop, tmp_path)
    assert (as_unknown == lettering("\ufffd\ufffd 9", shop, tmp_path)).all()
    (warning,) = warnings
    assert "no installed font has the characters 碗 茶" in warning and "s.png" in warning


def test_a_long_name_is_measured_in_part(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    plain = fonts.width

    def width(text: str, size: int) -> float:
        measured.append(len(text))
        return plain(text, size)

    monkeypatch.setattr(fonts, "width", width)
    long = lettering("début" + "x" * 100_000 + "fin", shop, tmp_path)
    assert sum(measured) < 5000 and max(measured) <= 2 * 180 + 1
    assert (long != lettering("x" * 100_000, shop, tmp_path)).any()


def test_a_first_hit_has_no_color_of_its_own(shop: Path, tmp_path: Path) -> None:
    """Nobody knows whether it is right."""
    (first,) = answer(shop, 1).hits
    contact_sheet.draw(tmp_path / "s.png", [Answer(first.image, (first, first))])
    with Image.open(tmp_path / "s.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels[20:240, 224:404] == pixels[20:240, 416:596]).all()
