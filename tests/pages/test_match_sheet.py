"""The color lies where the terms are, and only there; hits that cannot be compared are reported."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from dmlcli.pages import hits, match_sheet
from dmlcli.report.query import Answer, Hit
from tests.conftest import encoded

GRAY = Image.new("RGB", (200, 100), "#808080")


class Side(NamedTuple):
    data: bytes
    seen: tuple[float, float, float, float]
    terms: Any


class Pair(NamedTuple):
    query: Side
    hit: Side


def test_the_color_lies_where_the_terms_are_positive() -> None:
    terms = np.full((28, 28), -0.1, dtype=np.float32)
    terms[:14, :14] = 0.2  # upper left quarter of the square that the model sees
    photo = np.asarray(match_sheet.overlay(Side(encoded(GRAY), (50.0, 0.0, 150.0, 100.0), terms), 200), dtype=int)
    assert photo.shape == (100, 200, 3)
    orange = photo[:, :, 0] - photo[:, :, 2] > 60
    assert orange[5:40, 55:90].all()
    assert not orange[:, :45].any() and not orange[60:].any() and not orange[:, 110:].any()


def test_a_photo_without_positive_terms_has_no_color() -> None:
    side = Side(encoded(GRAY), (50.0, 0.0, 150.0, 100.0), np.full((28, 28), -1, dtype=np.float32))
    photo = np.asarray(match_sheet.overlay(side, 200), dtype=int)
    assert (photo[:, :, 0] == photo[:, :, 2]).all()


def answers(place: Path, hits: int) -> list[Answer]:
    file = place / "hit.png"
    file.write_bytes(encoded(GRAY))
    found = tuple(Hit(rank, 0.5, "mug", str(file), cosine=0.5) for rank in range(1, hits + 1))
    return [Answer("q.png", found, photos=(encoded(GRAY),)), Answer("vector", found[:1])]


def explain(query: bytes, crop: Any, hit: bytes, box: Any) -> Pair:
    side = Side(query, (50.0, 0.0, 150.0, 100.0), np.ones((28, 28), dtype=np.float32))
    return Pair(side, side._replace(data=hit))


def test_hits_that_do_not_fit_or_have_no_photo_are_counted(tmp_path: Path) -> None:
    given = answers(tmp_path, 25)
    with pytest.warns(UserWarning, match="shows 20 hits and omits 6"):
        assert list(match_sheet.drawing(tmp_path / "m.png", given, {"catalog": "shop"}, explain)) == given
    with Image.open(tmp_path / "m.png") as sheet:
        assert sheet.width > 1000


def test_a_page_shows_the_pairs_of_the_first_hits(tmp_path: Path) -> None:
    given = answers(tmp_path, 25)
    assert list(hits.writing(tmp_path / "m.html", given, {"catalog": "shop"}, explain=explain)) == given
    page = (tmp_path / "m.html").read_text()
    assert page.count('class="match"') == match_sheet.MOST and "shows where the photos match" in page
    list(hits.writing(tmp_path / "m.html", given, {"catalog": "shop"}))
    assert 'class="match"' not in (tmp_path / "m.html").read_text()


def test_without_photos_nothing_is_written(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="was not written"):
        list(match_sheet.drawing(tmp_path / "m.png", answers(tmp_path, 1)[1:], {}, explain))
    assert not (tmp_path / "m.png").exists()
