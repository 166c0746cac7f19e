"""The hits of queries as an Excel workbook (`query --format xlsx`): a row for each hit, with thumbnails and columns.

A cell is text or a number, never a formula, whatever the catalog holds.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from openpyxl import Workbook
from openpyxl.cell import Cell
from openpyxl.drawing.image import Image
from openpyxl.drawing.spreadsheet_drawing import AnchorMarker, TwoCellAnchor
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet

from dmlcli import printable, progress, storage
from dmlcli.catalog import Photo
from dmlcli.pages.thumbnails import Jpeg, jpeg
from dmlcli.report.query import Answer, Columns, Hit, Picture

_PIXELS, _GAP = 120, 4  # the longer side of a thumbnail, and the space around it
_MOST_PICTURES = 2500  # in one workbook, so that spreadsheets can open it; later rows have none
_MOST_ROWS, _MOST_LETTERS = 1_048_576, 32_767  # of a sheet and of a cell, in every version of the format
_UNIT = 9525  # of a position on a sheet: a pixel has as many
_FIRST = ("query photo", "query", "rank", "photo", "product", "score", "confidence")
_WIDTHS = {
    "query photo": 18,
    "photo": 18,
    "query": 30,
    "product": 30,
    "image": 40,
    "rank": 6,
    "score": 9,
    "confidence": 11,
}
_FONT = "Calibri"  # as in cells without a font of their own
_WIDTH = 16  # of other columns, in digits


class _Thumbnail(Image):  # type: ignore[misc]  # openpyxl has no types
    """A JPEG that lies over one cell, and is hidden and sorted with its row."""

    def __init__(self, photo: Jpeg, row: int, column: int) -> None:
        self.format, self._jpeg, self.width, self.height = "jpeg", photo.data, photo.width, photo.height
        left, top = ((_PIXELS + 2 * _GAP - side) // 2 for side in (photo.width, photo.height))
        start, end = (left, top), (left + photo.width, top + photo.height)
        corners = [
            AnchorMarker(col=column - 1, colOff=x * _UNIT, row=row - 1, rowOff=y * _UNIT) for x, y in (start, end)
        ]
        self.anchor = TwoCellAnchor(editAs="twoCell", _from=corners[0], to=corners[1])

    def _data(self) -> bytes:
        return self._jpeg


def writing(target: Path, answers: Iterable[Answer], columns: Columns) -> Iterator[Answer]:
    """Yield the answers unchanged, and write the workbook after the last one.

    Args:
        target: the file.
        answers: of the queries.
        columns: of the catalog, shown beside each hit.

    Raises:
        CannotRun: the file cannot be written.
    """
    hits = _Hits(target, columns)
    for answer in answers:
        hits.add(answer)
        yield answer
    hits.save()


class _Hits:
    """The workbook and its sheet of hits."""

    def __init__(self, target: Path, columns: Columns) -> None:
        self._target, self._columns = target, columns
        self._headings = (*_FIRST, *columns.headings((*_FIRST, "image")), "image")
        self._sheet: Worksheet = Workbook().active
        self._sheet.title = "hits"
        self._row, self._pictures, self._cut, self._rows_lost = 1, 0, 0, 0
        for place, heading in enumerate(self._headings, start=1):
            self._text(place, heading).font = Font(name=_FONT, bold=True)
            self._sheet.column_dimensions[get_column_letter(place)].width = _WIDTHS.get(heading, _WIDTH)
        self._sheet.freeze_panes = "A2"
        self._sheet.print_title_rows = "1:1"
        self._sheet.page_setup.orientation = "landscape"
        self._sheet.page_setup.fitToHeight = 0  # all columns on one page, as many pages as there are
        self._sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)

    def add(self, answer: Answer) -> None:
        """Add the rows of one query: its hits, or one row without a hit."""
        for place, hit in enumerate(answer.hits or [None]):
            if self._row == _MOST_ROWS:
                self._rows_lost += 1
                continue
            self._row += 1
            self._sheet.row_dimensions[self._row].height = (_PIXELS + 2 * _GAP) * 0.75  # points
            self._text(2, answer.query)
            if place == 0:
                self._picture(1, answer.pictures[0])
            if hit is not None:
                self._hit(hit)

    def save(self) -> None:
        """Write the workbook, and warn of what it lacks."""
        self._sheet.auto_filter.ref = f"A1:{get_column_letter(len(self._headings))}{self._row}"
        with storage.new_file(self._target) as draft:
            self._sheet.parent.save(draft)
        if self._pictures > _MOST_PICTURES:
            progress.warn(f"{self._target} shows the first {_MOST_PICTURES} of {self._pictures} photos")
        if self._rows_lost:
            progress.warn(
                f"{self._target} lacks the last {self._rows_lost} hits: a sheet has at most {_MOST_ROWS} rows (use "
                "--format csv)"
            )
        if self._cut:
            progress.warn(f"{self._target}: cells cut after {_MOST_LETTERS} characters, the maximum: {self._cut}")

    def _hit(self, hit: Hit) -> None:
        self._number(3, hit.rank)
        self._picture(4, Photo(Path(hit.image), hit.box))
        self._text(5, hit.product)
        self._number(6, round(hit.score, 6), 3)
        if hit.confidence is not None:
            self._number(7, round(hit.confidence, 6), 3)
        for place, (name, decimals) in enumerate(self._columns.decimals.items(), start=len(_FIRST) + 1):
            value = hit.cell(name)
            if isinstance(value, int | float):
                self._number(place, value, decimals)
            elif value:
                self._text(place, str(value))
        link = self._text(len(self._headings), hit.image)
        link.hyperlink = quote(os.fsencode(os.path.relpath(hit.image, self._target.absolute().parent)))
        link.font = Font(name=_FONT, color="0563C1", underline="single")

    def _number(self, column: int, value: float, decimals: int = 0) -> None:
        cell: Cell = self._sheet.cell(self._row, column, value)
        cell.alignment = Alignment(vertical="top")
        if decimals:
            cell.number_format = "0." + "0" * decimals

    def _text(self, column: int, text: str) -> Any:
        """Write a cell that stays text, also once it is edited."""
        shown = printable.cell(text)
        if len(shown) > _MOST_LETTERS:
            shown, self._cut = shown[: _MOST_LETTERS - 1] + "…", self._cut + 1
        cell: Any = self._sheet.cell(self._row, column, shown)
        cell.data_type = "s"
        cell.quotePrefix = printable.is_like_formula(shown)
        cell.alignment = Alignment(vertical="top", wrap_text=True)
        return cell

    def _picture(self, column: int, photo: Picture | bytes) -> None:
        self._pictures += 1
        if self._pictures <= _MOST_PICTURES and (small := jpeg(photo, _PIXELS)):
            self._sheet.add_image(_Thumbnail(small, self._row, column))
