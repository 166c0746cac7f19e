"""Encodings of text files, and the types of files that are not text."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from dmlcli import progress
from dmlcli.errors import CatalogError

_BINARY = (
    (b"PK\x03\x04", "a ZIP file, as Excel (.xlsx) and LibreOffice (.ods) write", "save the sheet as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file (.xls)", "save the sheet as CSV UTF-8"),
    (b"\x1f\x8b", "compressed with gzip", "gunzip it first"),
    (b"BZh", "compressed with bzip2", "bunzip2 it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", "zstd -d it first"),
    (b"PAR1", "a Parquet file", "give it the suffix .parquet"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    (b"\x89PNG", "an image", "a catalog is a folder of images, or a table that lists them"),
    (b"\xff\xd8\xff", "an image", "a catalog is a folder of images, or a table that lists them"),
)
_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_ESCAPED = re.compile("[\ud800-\udfff]")  # a byte that is not UTF-8, as surrogateescape decodes it
_NOT_TEXT = "a catalog is a folder of images, or a CSV, TSV, JSON, JSON Lines or Parquet table"


class Text(NamedTuple):
    """The content of a text file."""

    content: str
    is_legacy: bool = False  # it was not UTF-8, and was decoded as Windows-1252
    is_mixed: bool = False  # some bytes are not UTF-8 among text that is; they are surrogates


def read_text(file: Path) -> Text:
    """Read a text file in UTF-8 (with or without a byte order mark), UTF-16, UTF-32 or Windows-1252.

    Windows-1252, which Excel writes in Europe, is assumed where the file has bytes that are not UTF-8 and no character
    beyond ASCII that is; a note says so.

    Raises:
        CatalogError: the file cannot be read, or is not text.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CatalogError(f"cannot read {file}: {error.strerror}") from error
    for start, kind, hint in _BINARY:
        if data.startswith(start):
            raise CatalogError(f"{file} is not a table: it is {kind}", hint=hint)
    encoding = _wide_encoding(data)
    if encoding:
        try:
            return Text(data.decode(encoding).removeprefix("\ufeff"))
        except UnicodeDecodeError as error:
            raise CatalogError(f"{file} is not valid {encoding.upper()}: {error.reason}", hint=_NOT_TEXT) from error
    if b"\0" in data:
        raise _with_nul(file, data)
    content = data.decode("utf-8-sig", errors="surrogateescape")
    odd = _ESCAPED.search(content)
    if odd is None:
        return Text(content)
    if any(character > "\x7f" for character in set(_ESCAPED.sub("", content))):
        return Text(content, is_mixed=True)
    return _legacy(file, data, line_of(content, odd.start()))


def as_legacy(cell: str) -> str:
    """Return the name with the bytes that a cell of a Windows-1252 file had: file names are bytes."""
    try:
        return os.fsdecode(cell.encode("cp1252"))
    except UnicodeEncodeError:
        return cell


def is_escaped(cell: str) -> bool:
    """Return whether some bytes of a cell are not UTF-8."""
    return _ESCAPED.search(cell) is not None


def line_of(content: str, place: int) -> int:
    """Return the number of the line that a character is in."""
    return content.count("\n", 0, place) + 1


def _wide_encoding(data: bytes) -> str:
    """Return UTF-16 or UTF-32 if a byte-order mark or zero bytes show it, else an empty string."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return encoding
    start = data[:4096]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if odd > len(start) / 4 and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > len(start) / 4 and odd == 0 else ""


def _with_nul(file: Path, data: bytes) -> CatalogError:
    if b"\n" not in data.strip(b"\0\n"):
        return CatalogError(
            f"{file} separates its entries by NUL characters, as find -print0 does",
            hint=f"put each entry on its own line: tr '\\0' '\\n' < {file.name}",
        )
    return CatalogError(
        f"{file} is not text: line {data.count(bytes([10]), 0, data.index(0)) + 1} has a NUL character", hint=_NOT_TEXT
    )


def _legacy(file: Path, data: bytes, line: int) -> Text:
    try:
        content = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"line {data.count(bytes([10]), 0, error.start) + 1} of {file} is neither UTF-8 nor Windows-1252",
            hint="save the table as UTF-8",
        ) from error
    shown = content.split("\n")[line - 1].strip()[:80]
    progress.note(f"{file} is not UTF-8 and was read as Windows-1252; line {line}: {shown}")
    return Text(content, is_legacy=True)
