"""CSV and TSV: strict about structure, tolerant of dialects.

Every row must have as many cells as the header. A row that has not is listed by its line, never shifted or filled up.
The separator, a `sep=` line, lines above the header, and files that do not quote their cells are recognized.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from dmlcli import progress
from dmlcli.catalog.file_names import is_called_image
from dmlcli.catalog.table_data import Table, distinct_names
from dmlcli.catalog.text_files import Text
from dmlcli.errors import CatalogError

_SEPARATORS = ",;\t|"
_HEAD = 200  # lines that the separator is chosen by
_DEEPEST_HEADER = 10  # records that may stand above the header
_PORTION = 5_000  # records that are read at once
_BREAK = re.compile(r"\r\n|\r|\n")
_QUOTED: dict[str, Any] = {"strict": True, "skipinitialspace": True}
_ESCAPED: dict[str, Any] = {**_QUOTED, "doublequote": False, "escapechar": "\\"}
_UNQUOTED: dict[str, Any] = {"quoting": csv.QUOTE_NONE}

FindImage = Callable[[list[str]], str | None]  # the name of the image column among some names; None: there is none


class _Layout(NamedTuple):
    """Separator, header and image column of a file."""

    separator: str
    skip: int  # lines above the header
    header: list[str]
    image: int  # which cell is the image, -1 where no column is


class _Malformed(Exception):
    """The cells of a record cannot be separated."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_delimited(file: Path, text: Text, find_image: FindImage, separators: str = _SEPARATORS) -> Table:
    """Read a table whose cells are separated by comma, semicolon, tab or bar.

    Args:
        file: its path, for messages.
        text: its content.
        find_image: finds the image column among the names of a header.
        separators: the separators to choose from.

    Raises:
        CatalogError: the file is empty, its quotation marks do not match, or most rows do not fit the header.
    """
    content, declared = _without_sep_line(text.content)
    if not content.strip():
        raise CatalogError(f"{file} is empty", hint="a table has a header, such as image,product, and a row per image")
    layout = _find_layout(content, declared or separators, find_image)
    above = layout.skip + (1 if declared else 0)
    if layout.skip:
        progress.note(f"the header of {file} is line {above + 1}: the lines above it are skipped")
    reader = _Reader(file, content, layout, first=2 if declared else 1)
    return reader.read(is_legacy=text.is_legacy)


def _without_sep_line(content: str) -> tuple[str, str]:
    """Return the content without the line `sep=;` that Excel understands, and the separator that it names."""
    first, _, rest = content.partition("\n")
    named = first.rstrip("\r").strip('"')
    return (rest, named[4]) if named.lower().startswith("sep=") and len(named) == 5 else (content, "")


def _find_layout(content: str, separators: str, find_image: FindImage) -> _Layout:
    """Choose the separator that makes a header with an image column, else the one that most rows agree with."""
    head = list(islice(io.StringIO(content, newline=""), _HEAD))
    best: tuple[tuple[bool, int, int], _Layout] | None = None
    for separator in separators:
        reader = csv.reader(head, delimiter=separator, skipinitialspace=True)
        records: list[tuple[int, list[str]]] = []  # lines above it, cells
        above = 0
        for cells in reader:
            if any(cell.strip() for cell in cells):
                records.append((above, [cell.strip() for cell in cells]))
            above = reader.line_num
        found = next((n for n, (_, cells) in enumerate(records[:_DEEPEST_HEADER]) if find_image(cells)), None)
        if found and any(sum(map(bool, cells)) > 1 for _, cells in records[:found]):
            found = None  # rows stand above it, not a title
        skip, header = records[found or 0]
        agree = sum(len(cells) == len(header) for _, cells in records) if len(header) > 1 else 0
        image = header.index(find_image(header) or "") if found is not None else -1
        score = (found is not None, agree, len(header))
        if best is None or score > best[0]:
            best = score, _Layout(separator, skip, header, image)
    assert best is not None
    return best[1]


class _Reader:
    """Reader of the rows below a header."""

    def __init__(self, file: Path, content: str, layout: _Layout, first: int) -> None:
        self._file, self._content, self._layout = file, content, layout
        self._first = first  # number of the first line of `content`
        self._lines: list[str] = []  # of the content, once they are needed
        self._width = len(layout.header)
        self._fewest = len(layout.header)
        while self._fewest > 1 and not layout.header[self._fewest - 1]:
            self._fewest -= 1  # names at the end that are empty: cells there may be left out

    def read(self, is_legacy: bool) -> Table:
        try:
            return self._table(_QUOTED, is_legacy)
        except (_Malformed, csv.Error) as error:
            problem = error if isinstance(error, _Malformed) else _Malformed(0, str(error))
        for dialect in self._other_dialects():
            try:
                table = self._table(dialect, is_legacy)
            except (_Malformed, csv.Error):
                continue
            if not table.skipped and not _looks_quoted(table, dialect):
                kind = "escapes quotation marks with \\" if dialect is _ESCAPED else "does not quote its cells"
                progress.note(f"{self._file} {kind}; line {problem.line} contains a quotation mark")
                return table
        raise CatalogError(
            f"line {problem.line} of {self._file}: {problem}",
            hint='write a quotation mark inside a quoted cell twice: "15"" pan"',
        )

    def _other_dialects(self) -> Iterator[dict[str, Any]]:
        if '\\"' in self._content and self._content.count("\\") == self._content.count('\\"'):
            yield _ESCAPED
        yield _UNQUOTED

    def _records(self, dialect: dict[str, Any]) -> Iterator[tuple[list[list[str]], Sequence[int]]]:
        """Yield records in batches, with the line that each begins in."""
        reader = csv.reader(io.StringIO(self._content, newline=""), delimiter=self._layout.separator, **dialect)
        line = self._first
        failure: csv.Error | None = None
        while failure is None:
            records: list[list[str]] = []
            try:
                records.extend(islice(reader, _PORTION))
            except csv.Error as error:  # the records before it are in the list
                failure = error
            if not records and failure is None:
                return
            end = self._first + reader.line_num
            if failure is None and end - line == len(records):
                lines: Sequence[int] = range(line, end)
            else:
                lines = list(accumulate((_lines_of(record) for record in records), initial=line))
                end = lines[-1]
                self._check_lines(lines)
            yield records, lines[: len(records)]
            line = end
        reason = str(failure)
        if "unexpected end" in reason:
            reason = "unclosed quotation mark"
        elif "expected after" in reason:
            reason = "text after the closing quotation mark of a cell"
        raise _Malformed(line, reason) from failure

    def _check_lines(self, begins: list[int]) -> None:
        """Raise where a quoted cell runs over lines that are rows themselves: a stray quotation mark opened it.

        Args:
            begins: the line that each record begins in, and the one after the last.
        """
        image = self._layout.image
        if image < 0:
            return
        self._lines = self._lines or list(io.StringIO(self._content, newline=""))
        for begin, end in pairwise(begins):
            for number in range(begin + 1, end):
                line = self._lines[number - self._first]
                cells = next(csv.reader([line], delimiter=self._layout.separator, **_UNQUOTED), [])
                if len(cells) == self._width and is_called_image(cells[image].strip(' "')):
                    raise _Malformed(
                        begin,
                        f"a closing quotation mark is missing: the quoted cell extends over line {number}",
                    )

    def _table(self, dialect: dict[str, Any], is_legacy: bool) -> Table:
        names = distinct_names(self._layout.header, self._file, ("image", "product", "path", "label", "split"))
        columns: list[list[str]] = [[] for _ in names]
        lines: list[int] = []
        misfits: list[tuple[int, int]] = []
        header_line = self._layout.skip + self._first
        if plain := self._plain(header_line):
            return self._finished(names, *plain, misfits, is_legacy)
        for records, places in self._records(dialect):
            if places[0] <= header_line or set(map(len, records)) != {self._width}:
                fitting = self._fitting(records, places, header_line, misfits)
                records, places = [cells for _, cells in fitting], [line for line, _ in fitting]
            _extend(columns, list(zip(*records, strict=True)))
            lines.extend(places)
        return self._finished(names, columns, lines, misfits, is_legacy)

    def _plain(self, header_line: int) -> tuple[list[list[str]], Sequence[int]] | None:
        """Return the columns of a file that quotes nothing and whose lines all fit, by pandas: half the time of csv."""
        if '"' in self._content or self._content.count("\r") != self._content.count("\r\n"):
            return None
        separator = self._layout.separator
        lines = self._content.removesuffix("\n").removesuffix("\r").split("\n")
        if len(lines) < _PORTION or {line.count(separator) for line in lines} != {self._width - 1}:
            return None
        del lines
        import pandas as pd

        table = pd.read_csv(
            io.StringIO(self._content),
            sep=separator,
            dtype=object,
            header=None,
            skiprows=self._layout.skip + 1,
            keep_default_na=False,
            na_filter=False,
            skip_blank_lines=False,
            quoting=csv.QUOTE_NONE,
        )
        columns = [table[number].tolist() for number in range(self._width)]
        return columns, range(header_line + 1, header_line + 1 + len(table))

    def _finished(
        self,
        names: list[str],
        columns: list[list[str]],
        lines: Sequence[int],
        misfits: list[tuple[int, int]],
        is_legacy: bool,
    ) -> Table:
        table = Table(self._file, dict(zip(names, columns, strict=True)), lines, is_legacy=is_legacy)
        table.separator = self._layout.separator
        for name, named in zip(names, self._layout.header, strict=True):
            if not named and not any(map(str.strip, table.columns[name])):
                del table.columns[name]
        self._list_misfits(table, misfits)
        return table

    def _fitting(
        self, records: list[list[str]], places: Sequence[int], header_line: int, misfits: list[tuple[int, int]]
    ) -> list[tuple[int, list[str]]]:
        """Return the records that fit the header, with their lines; others go to `misfits`, blank ones are dropped."""
        fitting = []
        for line, cells in zip(places, records, strict=True):
            if line <= header_line or not any(map(str.strip, cells)):
                continue
            fitted = cells if len(cells) == self._width else self._fitted(cells)
            if fitted is None:
                misfits.append((line, len(cells)))
            else:
                fitting.append((line, fitted))
        return fitting

    def _fitted(self, cells: list[str]) -> list[str] | None:
        """Return the cells where only empty ones without a name are too many or too few, else None."""
        if self._fewest <= len(cells) <= self._width:
            return cells + [""] * (self._width - len(cells))
        more = cells[self._width :]
        return cells[: self._width] if more and not any(map(str.strip, more)) else None

    def _list_misfits(self, table: Table, misfits: list[tuple[int, int]]) -> None:
        if not misfits:
            return
        line, count = misfits[0]
        if len(misfits) > len(table):
            raise CatalogError(
                f"{len(misfits)} of {len(misfits) + len(table)} rows of {self._file} do not fit its header of "
                f"{self._width} columns; the first is line {line} with {_cells(count)}",
                hint="quote cells that contain the separator, or separate the columns by tabs",
            )
        for line, count in misfits:
            table.skip(line, f"the row has {_cells(count)}, the header has {self._width}")


def _extend(columns: list[list[str]], portion: Sequence[Sequence[str]]) -> None:
    """Add a portion to each column; equal cells become one object, so that many rows stay small."""
    for column, cells in zip(columns, portion, strict=bool(portion)):
        known = set(cells)
        column.extend(map({cell: cell for cell in known}.__getitem__, cells) if len(known) * 2 < len(cells) else cells)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def _lines_of(record: list[str]) -> int:
    """Return how many lines a record takes: its cells may have line breaks."""
    return 1 + sum(len(_BREAK.findall(cell)) for cell in record if "\n" in cell or "\r" in cell)


def _looks_quoted(table: Table, dialect: dict[str, Any]) -> bool:
    """Return whether cells that were read as unquoted are quoted after all."""
    if dialect is not _UNQUOTED:
        return False
    cells = (cell.strip() for column in table.columns.values() for cell in column)
    return any(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
