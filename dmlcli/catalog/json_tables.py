"""JSON Lines, and JSON arrays of objects: one row each, with one or several images."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmlcli.catalog.columns import text_of, usual_column
from dmlcli.catalog.table_data import Table
from dmlcli.catalog.text_files import Text
from dmlcli.errors import CatalogError

_HINT = '{"image": "a.jpg", "product": "4711"} in each line, or an array of such objects'


def read_json(file: Path, text: Text, image_column: str | None) -> Table:
    """Read one JSON object a line, or one array of objects.

    Args:
        file: its path, for messages.
        text: its content.
        image_column: which name holds the image; None: a usual one.

    Raises:
        CatalogError: naming the line that is not valid.
    """
    rows = _array(file, text.content) if text.content.lstrip().startswith("[") else _lines(file, text.content)
    columns: dict[str, list[str]] = {}
    image_of: dict[tuple[str, ...], str] = {}  # which name holds the image, by the names of a row
    known: dict[str, str] = {}  # equal cells become one object
    lines: list[int] = []
    for line, row in rows:
        names = tuple(row)
        if names not in image_of:
            image_of[names] = image_column or usual_column("image", names) or ""
        image = image_of[names]
        found = row.get(image, "")
        for photo in found or ("",) if isinstance(found, list) else (found,):
            if image:
                row[image] = _path(file, line, photo)
            for name, value in row.items():
                cell = value if isinstance(value, str) else text_of(value)
                column = columns.setdefault(name, [])
                if len(column) < len(lines):
                    column += [""] * (len(lines) - len(column))
                column.append(cell if name == image else known.setdefault(cell, cell))
            lines.append(line)
    if not lines:
        raise CatalogError(f"{file} is empty", hint=_HINT)
    filled = {name: column + [""] * (len(lines) - len(column)) for name, column in columns.items()}
    return Table(file, filled, lines, is_legacy=text.is_legacy)


def _path(file: Path, line: int, photo: Any) -> str:
    """Return the path of an image: text, null for none, or an object with a path as Hugging Face writes it."""
    if isinstance(photo, dict) and isinstance(photo.get("path"), str):
        photo = photo["path"]
    if photo is None:
        return ""
    if not isinstance(photo, str):
        raise CatalogError(f"line {line} of {file}: the image {json.dumps(photo)[:80]} is not a path", hint=_HINT)
    return photo


def _lines(file: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == 1 and line.strip() == "{":
                raise CatalogError(f"{file} is one JSON object over several lines", hint=_HINT) from error
            raise CatalogError(f"line {number} of {file} is not valid JSON: {error}", hint=_HINT) from error
        yield number, _object(file, number, row)


def _array(file: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of an array, each with the line that it begins in."""
    decoder, place, line, counted = json.JSONDecoder(), content.index("[") + 1, 1, 0
    first = True
    while True:
        place = _after_space(content, place)
        if content[place : place + 1] == "]" and first:
            return
        line, counted = line + content.count("\n", counted, place), place
        try:
            row, place = decoder.raw_decode(content, place)
        except (ValueError, RecursionError) as error:
            raise CatalogError(f"line {line} of {file} is not valid JSON: {error}", hint=_HINT) from error
        yield line, _object(file, line, row)
        first = False
        place = _after_space(content, place)
        end = content[place : place + 1]
        place += 1
        if end == "]":
            if content[place:].strip():
                raise CatalogError(f"{file} has text after its array, from line {line} on", hint=_HINT)
            return
        if end != ",":
            line += content.count("\n", counted, place)
            raise CatalogError(f"line {line} of {file} is not valid JSON: a comma or ] is missing", hint=_HINT)


def _after_space(content: str, place: int) -> int:
    while place < len(content) and content[place] in " \t\r\n":
        place += 1
    return place


def _object(file: Path, line: int, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise CatalogError(f"line {line} of {file} is not a JSON object", hint=_HINT)
    return row
