"""What a workbook cannot hold is cut or left out with a warning."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from dmlcli import progress
from dmlcli.pages import workbook
from dmlcli.report.query import Answer, Columns, Hit


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """Collects warnings."""
    found: list[str] = []

    class Listener(progress.Silent):
        def warn(self, message: str) -> None:
            found.append(message)

    progress.listen(Listener())
    yield found
    progress.listen(progress.Silent())


def book(folder: Path, answers: list[Answer], *names: str) -> list[list[object]]:
    """The cells of the workbook of these answers."""
    file = folder / "hits.xlsx"
    assert list(workbook.writing(file, answers, Columns(dict.fromkeys(names, 0)))) == answers
    return [[cell.value for cell in row] for row in openpyxl.load_workbook(file)["hits"].iter_rows()]


def answer(shop: Path, **columns: object) -> Answer:
    image = str(shop / "product-00" / "0.png")
    return Answer(image, (Hit(1, 0.5, "mug", image, columns=columns),))


def test_a_text_that_is_too_long_is_cut_with_a_warning(shop: Path, tmp_path: Path, warnings: list[str]) -> None:
    _, row = book(tmp_path, [answer(shop, note="a" * 40_000)], "note")
    assert row[7] == "a" * 32_766 + "…" and "cut after 32767 characters, the maximum: 1" in warnings[0]


def test_a_confidence_is_a_number(shop: Path, tmp_path: Path) -> None:
    sure = answer(shop)
    head, row = book(tmp_path, [sure._replace(hits=(replace(sure.hits[0], confidence=0.931),))])
    assert dict(zip(head, row, strict=True))["confidence"] == 0.931


def test_control_characters_are_escaped(shop: Path, tmp_path: Path) -> None:
    _, row = book(tmp_path, [answer(shop, note="a\x00\x1b[2Jb\udcffc\u202e")], "note")
    assert row[7] == "a\\x00\\x1b[2Jb\\xffc\\u202e"


def test_photos_and_rows_that_do_not_fit_are_counted(
    shop: Path, tmp_path: Path, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbook, "_MOST_PICTURES", 3)
    monkeypatch.setattr(workbook, "_MOST_ROWS", 4)
    rows = book(tmp_path, [answer(shop)] * 5)
    assert len(rows) == 4 and len(openpyxl.load_workbook(tmp_path / "hits.xlsx")["hits"]._images) == 3
    assert "the first 3 of 6 photos" in warnings[0] and "lacks the last 2 hits" in warnings[1]


def test_a_photo_that_is_gone_leaves_its_row(shop: Path, tmp_path: Path) -> None:
    _, row = book(tmp_path, [Answer("gone.jpg", (Hit(1, 0.5, "mug", "gone too.jpg"),))])
    assert row == [None, "gone.jpg", 1, None, "mug", 0.5, None, "gone too.jpg"]
