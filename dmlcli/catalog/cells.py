"""Interpretation of table cells in various dialects: image paths, products, query flags."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from dmlcli import progress
from dmlcli.catalog.file_names import is_called_image
from dmlcli.catalog.numbers import SPOILED, is_missing
from dmlcli.catalog.table_data import Table
from dmlcli.catalog.text_files import as_legacy
from dmlcli.errors import CatalogError
from dmlcli.image import is_there

_BETWEEN_PATHS = re.compile(r"[,;|\n]")
_FLOAT = re.compile(r"(0|[1-9]\d*)\.0")
_WHOLE = re.compile(r"0|[1-9]\d*")
_EMPTY_WORDS = ("nan", "null", "none", "<na>", "n/a", "#n/a", "#nv")  # NA may be a name
_YES, _NO = ("1", "true", "yes", "1.0", "y", "t"), ("0", "false", "no", "0.0", "n", "f")


def spread_images(table: Table, column: str, root: Path) -> None:
    """Give each image its own row and its path on disk.

    Cells with several paths (`a.jpg, b.jpg`, or a JSON list) become several rows. Backslashes become slashes and
    file:// URLs become paths. Names of a Windows-1252 table are converted back to bytes if the files have these names.

    Args:
        table: changed in place.
        column: the column of image paths.
        root: the folder that paths are relative to.
    """
    cells = list(map(str.strip, table.columns[column]))
    several = {}
    joined = "\0".join(["", *cells])
    if any(mark in joined for mark in (",", ";", "|", "\n", "\0[")):
        several = {row: paths for row, cell in enumerate(cells) if (paths := _paths(cell, root)) != [cell]}
    if several:
        rows = [row for row, cell in enumerate(cells) for _ in several.get(row, [cell])]
        first = next(iter(several))
        progress.note(
            f"column {column} has several images in a cell: {len(several)} rows, first {table.place(first)}, "
            f"were read as {sum(map(len, several.values()))} images"
        )
        paths = [path for row, cell in enumerate(cells) for path in several.get(row, [cell])]
        table.take(rows)
        cells = paths
    if "\0file://" in joined:
        cells = [_without_scheme(cell) if cell.startswith("file://") else cell for cell in cells]
    if "\\" in joined:
        cells = _translated(
            cells, root, lambda cell: cell.replace("\\", "/"), "backslashes were read as slashes", table
        )
    if table.is_legacy and not all(map(str.isascii, cells)):
        cells = _translated(cells, root, as_legacy, "", table)
    table.columns[column] = cells


def _paths(cell: str, root: Path) -> list[str]:
    """Return the paths in a cell: itself, or several where each looks like the path of an image."""
    if cell.startswith("["):
        try:
            listed = json.loads(cell)
        except ValueError:
            return [cell]
        return [path for path in listed if path] or [""] if all(isinstance(path, str) for path in listed) else [cell]
    if not _BETWEEN_PATHS.search(cell):
        return [cell]
    paths = [path.strip() for path in _BETWEEN_PATHS.split(cell) if path.strip()]
    if len(paths) > 1 and all(map(is_called_image, paths)) and not is_there(root / cell):
        return paths
    return [cell]


def _with_slashes(cell: str) -> str:
    return cell.replace("\\", "/")


def _without_scheme(url: str) -> str:
    parts = urlparse(url)
    return url if ".tar/" in url or parts.netloc not in ("", "localhost") else unquote(parts.path)


def _translated(cells: list[str], root: Path, translate: Callable[[str], str], message: str, table: Table) -> list[str]:
    """Return the cells in another spelling where the first file that is found either way is found in that one."""
    for row, cell in enumerate(cells):
        new = translate(cell)
        if new == cell or is_there(root / cell):
            continue
        if is_there(root / new):
            if message:
                progress.note(f"{message}: '{cell}' in {table.place(row)}")
            return [other if is_there(root / other) else translate(other) for other in cells]
    return cells


def tidy_products(table: Table, column: str) -> None:
    """Write products that are whole numbers without the .0 that a column with gaps got, and empty the gaps.

    Warns of codes that a spreadsheet has turned into numbers (4.00638E+12), and of `nan` among names.
    """
    cells = [cell.strip() for cell in table.columns[column]]
    values = set(cells) - {""}
    missing = {value for value in values if is_missing(value)}
    named = values - missing
    empty_words = sorted(value for value in missing if value.lower() in _EMPTY_WORDS)
    if named and all(map(_FLOAT.fullmatch, named)):
        first = next(row for row, cell in enumerate(cells) if cell in named)
        progress.note(
            f"products in column {column} are whole numbers with .0: '{cells[first]}' in {table.place(first)} was read "
            f"as {cells[first].removesuffix('.0')}"
        )
        table.columns[column] = ["" if cell in missing else cell.removesuffix(".0") for cell in cells]
    elif missing and named and all(map(_WHOLE.fullmatch, named)):
        first = next(row for row, cell in enumerate(cells) if cell in missing)
        progress.note(
            f"products in column {column} are numbers: '{cells[first]}' in {table.place(first)} was read as "
            "an empty cell"
        )
        table.columns[column] = ["" if cell in missing else cell for cell in cells]
    elif empty_words:
        place = table.place(cells.index(empty_words[0]))
        progress.warn(
            f"'{empty_words[0]}' in {place} was read as a product name; leave the cell "
            "empty for images without a product"
        )
    if any("E+" in value and SPOILED.fullmatch(value) for value in named):
        spoiled = [row for row, cell in enumerate(cells) if SPOILED.fullmatch(cell)]
        progress.warn(
            f"products in column {column} look like codes that a spreadsheet has rounded: '{cells[spoiled[0]]}' in "
            f"{table.place(spoiled[0])}, {len(spoiled)} rows. Different products may now have the same code: export "
            "the codes as text"
        )


def split_by_flags(table: Table, query: str | None, gallery: str | None, splits: list[str]) -> list[str]:
    """Return the split of each row by the columns is_query and is_gallery of open-metric-learning.

    Rows with one of the two flags get split query or gallery. Rows with neither keep theirs, and so do all rows where
    every flagged one has both, which is leave-one-out.

    Args:
        table: the table.
        query: its column is_query, or None.
        gallery: its column is_gallery, or None.
        splits: the split of each row by its own column.

    Raises:
        CatalogError: a cell is neither yes nor no.
    """
    is_query = _flags(table, query)
    is_gallery = _flags(table, gallery)
    if query is None:
        is_query = [None if flag is None else not flag for flag in is_gallery]
    if gallery is None:
        is_gallery = [None if flag is None else not flag for flag in is_query]
    both = sum(bool(q and g) for q, g in zip(is_query, is_gallery, strict=True))
    either = sum(bool(q or g) for q, g in zip(is_query, is_gallery, strict=True))
    if both == either:
        return splits
    if both:
        progress.warn(f"{both} images of {table.file} are in both query and gallery and are used as queries only")
    found = [
        "query" if q else "gallery" if g else split for q, g, split in zip(is_query, is_gallery, splits, strict=True)
    ]
    progress.note(
        f"{found.count('query')} queries and {found.count('gallery')} gallery images, from the columns "
        f"{' and '.join(filter(None, (query, gallery)))} of {table.file}"
    )
    return found


def _flags(table: Table, column: str | None) -> list[bool | None]:
    if column is None:
        return [None] * len(table)
    known: dict[str, bool | None] = {"": None}
    for cell in set(table.columns[column]):
        text = cell.strip().lower()
        if text in _YES or text in _NO or not text or is_missing(text):
            known[cell] = text in _YES if text in (*_YES, *_NO) else None
        else:
            row = table.columns[column].index(cell)
            raise CatalogError(f"{table.place(row)}: '{cell}' in column {column} must be 0 or 1")
    return [known[cell] for cell in table.columns[column]]
