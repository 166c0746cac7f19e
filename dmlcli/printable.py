"""Escaping of external text (names of files, products and columns) for terminals, TSV, CSV and JSON.

On a terminal, characters that would act on it (escape sequences, carriage returns), reorder the line (bidirectional
controls) or cannot be seen (zero-width characters, bytes that are not UTF-8) are shown as escapes:

    \\t \\n \\r    tab, newline, carriage return
    \\x1b         other control characters below U+0080, and single bytes that are not UTF-8 (\\xff)
    \\u202e       all others, by code point (\\U000e0001 above U+FFFF)

Cells of TSV and CSV, and JSON, are read by programs: they keep zero-width joiners, which are part of names. A cell that
a spreadsheet would take for a formula has an apostrophe before it.
"""

import re
from collections.abc import Iterable
from typing import Any

# Patterns are text, so that they are only compiled when a name needs them: queries start before that.
# What acts on a terminal, ends a line somewhere or cannot be seen: control characters, bidirectional controls, line
# separators, spaces without width, and the surrogates that stand for bytes that are not UTF-8.
_CONTROLS = "\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff"
_ESCAPES = r"\\(?:([tnr\\])|x([0-9a-f]{2})|u([0-9a-f]{4}))"
_FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"  # the last four are full-width forms of the first
_NUMBER = r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)?"
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
_SPACES = frozenset("\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))


def text(value: str) -> str:
    """Return text as one line without control characters for a terminal."""
    if value.isprintable():
        return value
    return "".join(sign if sign.isprintable() or sign in _SPACES else _escape(sign) for sign in value)


def tsv(cells: Iterable[str]) -> str:
    """Return one line of TSV, without its newline: control characters and backslashes are escaped as in C."""
    return "\t".join(_without(f"[{_CONTROLS}\\\\]", _defused(cell)) for cell in cells)


def csv(cells: Iterable[str]) -> str:
    """Return one record of CSV, without its newline.

    A newline or a tab stays, in quotes; other control characters are escaped as on a terminal.
    """
    return ",".join(_quoted(_without(f"(?![\t\n])[{_CONTROLS}]", _defused(cell))) for cell in cells)


def cell(value: str) -> str:
    """Return the text of a cell of a workbook, where nothing runs as a formula: as in CSV, without an apostrophe."""
    return _without(f"(?![\t\n])[{_CONTROLS}]", value)


def is_like_formula(value: str) -> bool:
    """Return whether a spreadsheet would run a text as a formula once somebody edits its cell."""
    return value[:1] in _FORMULA and _looks_like_formula(value)


def dumps(value: Any) -> str:
    """Return a value as one line of JSON, in which control characters and bytes that are not UTF-8 are escaped."""
    import json  # here, because the help needs none of it

    line = json.dumps(value, ensure_ascii=False)
    if line.isprintable():
        return line
    return re.sub(f"[{_CONTROLS}]", lambda found: f"\\u{ord(found[0]):04x}", line)


def from_tsv(cell: str) -> str:
    """Return the text of a cell that `tsv` wrote."""
    return from_csv(re.sub(_ESCAPES, _unescaped, cell) if "\\" in cell else cell)


def from_csv(cell: str) -> str:
    """Return the text of a cell that `csv` wrote, without its quotes and the added apostrophe."""
    return cell[1:] if cell.startswith("'") and _looks_like_formula(cell) else cell


def _escape(sign: str) -> str:
    code = ord(sign)
    if sign in _NAMED:
        return _NAMED[sign]
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python decodes file names
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _without(pattern: str, cell: str) -> str:
    """Return the cell with what the pattern finds escaped."""
    if cell.isprintable() and "\\" not in cell:
        return cell
    return re.sub(pattern, lambda found: _escape(found[0]), cell)


def _unescaped(found: re.Match[str]) -> str:
    named, byte, point = found.groups()
    if named:
        return {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}[named]
    code = int(byte or point, 16)
    return chr(code + 0xDC00 if byte and code >= 0x80 else code)


def _defused(cell: str) -> str:
    """Return the cell, with an apostrophe before it where it looks like a formula.

    One that has apostrophes before the formula gets one more, so that removing one always gives the cell back.
    """
    if cell[:1] in ("'", *_FORMULA) and _looks_like_formula(cell) and not re.fullmatch(_NUMBER, cell, re.ASCII):
        return f"'{cell}"
    return cell


def _looks_like_formula(cell: str) -> bool:
    """Return whether a cell begins like a formula, after any apostrophes; a sign alone (-) is none."""
    bare = cell.lstrip("'")
    return len(bare) > 1 and bare[0] in _FORMULA


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(sign in cell for sign in ',"\n\t') else cell
