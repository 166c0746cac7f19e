"""Detection of number columns, and conversion to one format: 19,00 and 1.299,50 become 19.00 and 1299.50.

A column is a number column if all of its filled cells are numbers. Cells such as n/a count as empty there, and a note
names the first. Codes stay text: leading zeros, more than 15 digits, GTIN (EAN, UPC) with a valid check digit.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from dmlcli import progress
from dmlcli.catalog.table_data import Table

_PLAIN = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d+)?(?:[eE]-\d{1,3})?")  # as index columns have it
_MARKS = "[ '\u00a0\u202f\u2019]"  # between thousands, besides . and ,
_NUMBER = (
    r"[-+\u2212]?(?:(?:\d{{1,3}}(?:{group}\d{{3}})+|\d{{1,3}}(?:{marks}\d{{3}})+|0|[1-9]\d{{0,14}})(?:{point}\d*)?"
    r"|{point}\d+)"
)
_DOT = re.compile(_NUMBER.format(group=",", marks=_MARKS, point=r"\."))
_COMMA = re.compile(_NUMBER.format(group=r"\.", marks=_MARKS, point=","))
_MISSING = frozenset(
    ("n/a", "na", "n.a.", "#n/a", "#nv", "-", "--", "\u2013", "\u2014", "null", "none", "nan", "<na>", "nil", "\\n")
)
_LONGEST_MISSING = max(map(len, _MISSING))
_GTIN_LENGTHS = (8, 12, 13, 14)
SPOILED = re.compile(r"\d(?:[.,]\d+)?E\+\d+")  # 4.00638E+12, what a spreadsheet makes of a long code
_MOSTLY = 0.8  # share of numbers from which a column that also has text is noted


class _Column(NamedTuple):
    """The different cells of a column, by what they can be read as."""

    filled: set[str]
    dot: bool  # all are numbers with a decimal point
    comma: bool  # all are numbers with a decimal comma
    decides: str  # the mark that only fits one of the two: "." or ",", or nothing


def is_missing(cell: str) -> bool:
    """Return whether a cell of a number column stands for an empty one: n/a, NA, -, null, nan."""
    return len(cell) <= _LONGEST_MISSING and cell.lower() in _MISSING


def is_code(values: Iterable[str]) -> bool:
    """Return whether whole numbers are codes: all are GTINs (EAN, UPC, ISBN) with a valid check digit."""
    return all(_is_gtin(value) for value in values)


def normalize(table: Table, names: Iterable[str]) -> None:
    """Convert number columns to one format, and their missing cells to empty ones.

    Notes are given for cells that count as missing, and for text in a column that otherwise holds numbers.
    """
    sorted_out = {name: _sort_out(table.columns[name]) for name in names}
    marks = {column.decides for column in sorted_out.values()} - {""}
    for name, column in sorted_out.items():
        _normalize_column(table, name, column, marks)


def _sort_out(cells: list[str]) -> _Column:
    filled = set(map(str.strip, set(cells))) - {""}
    numbers = {cell for cell in filled if not is_missing(cell)}
    dot = all(_PLAIN.fullmatch(number) or _DOT.fullmatch(number) for number in numbers)
    comma = all(map(_COMMA.fullmatch, numbers))
    decides = "" if dot == comma else "." if dot else ","
    if decides == "." and not any("." in number or "," in number for number in numbers):
        decides = ""
    return _Column(filled, dot, comma, decides)


def _normalize_column(table: Table, name: str, column: _Column, marks: set[str]) -> None:
    numbers = {cell for cell in column.filled if not is_missing(cell)}
    if not numbers:
        return
    if not (column.dot or column.comma):
        _note_text(table, name, numbers)
        return
    if all(map(_PLAIN.fullmatch, numbers)) and not (marks == {","} and any("." in number for number in numbers)):
        mark = "."
    elif column.dot and column.comma:
        mark = _chosen_mark(table, name, numbers, marks)
    else:
        mark = "." if column.dot else ","
    if not mark:
        return
    spelled = {cell: _plain(cell, mark) for cell in numbers}
    if not all(map(_PLAIN.fullmatch, spelled.values())):
        return  # leading zeros or too many digits: codes
    missing = sorted(column.filled - numbers)
    spelled |= dict.fromkeys(missing, "")
    if missing:
        cells = [cell.strip() for cell in table.columns[name]]
        row = next(row for row, cell in enumerate(cells) if cell in missing)
        count = sum(cell in missing for cell in cells)
        more = f", and {count - 1} more" if count > 1 else ""
        progress.note(f"column {name} is numeric; '{cells[row]}' in {table.place(row)}{more} was read as an empty cell")
    if any(old != new for old, new in spelled.items()):
        table.columns[name] = [spelled.get(cell.strip(), "") for cell in table.columns[name]]


def _chosen_mark(table: Table, name: str, numbers: set[str], marks: set[str]) -> str:
    """Return the decimal mark of a column that can be read both ways, as 1,234 can; nothing where it stays text.

    The other columns decide, else the separator: tables with semicolons have decimal commas.
    """
    has_comma, has_dot = any("," in number for number in numbers), any("." in number for number in numbers)
    if not has_comma and (not has_dot or "," not in marks):
        return "."
    if has_comma and not has_dot:
        if len(marks) == 1:
            return next(iter(marks))
        if not marks and table.separator in (";", ","):
            return "," if table.separator == ";" else "."
    mark = "" if has_comma else "."
    odd = next(cell for cell in table.columns[name] if "," in cell or "." in cell)
    progress.warn(
        f"column {name} {'has a decimal point' if mark else 'is read as text'}: '{odd.strip()}' in "
        f"{table.place(table.columns[name].index(odd))} could also contain a thousands separator"
    )
    return mark


def _plain(cell: str, mark: str) -> str:
    """Return a number with a decimal point and nothing between thousands."""
    if _PLAIN.fullmatch(cell) and (mark == "." or "." not in cell):
        return cell
    cell = cell.replace("\u2212", "-").removeprefix("+")
    cell = re.sub(_MARKS, "", cell).replace("," if mark == "." else ".", "").replace(mark, ".").removesuffix(".")
    sign, digits = ("-", cell[1:]) if cell.startswith("-") else ("", cell)
    return f"{sign}0{digits}" if digits.startswith(".") else sign + digits


def _note_text(table: Table, name: str, filled: set[str]) -> None:
    """Note the first cell that keeps a column from being one of numbers, where nearly all of it is."""
    texts = {cell for cell in filled if not (_DOT.fullmatch(cell) or _COMMA.fullmatch(cell) or _PLAIN.fullmatch(cell))}
    if len(texts) * 2 > len(filled):
        return
    cells = [cell.strip() for cell in table.columns[name]]
    odd = [row for row, cell in enumerate(cells) if cell in texts]
    if len(odd) <= (1 - _MOSTLY) * sum(map(bool, cells)):
        more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
        progress.note(
            f"column {name} is read as text: '{cells[odd[0]]}' in {table.place(odd[0])}{more} is not a number"
        )


def _is_gtin(value: str) -> bool:
    if len(value) not in _GTIN_LENGTHS or not value.isdecimal():
        return False
    digits = [int(digit) for digit in reversed(value)]
    return (sum(digits[::2]) + 3 * sum(digits[1::2])) % 10 == 0
