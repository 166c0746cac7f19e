"""Conversion of table columns to items: the role of each column, and the meaning of its cells."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmlcli import progress
from dmlcli.catalog import cells, numbers
from dmlcli.catalog.catalog import Item, split_name
from dmlcli.catalog.file_names import is_called_image
from dmlcli.catalog.table_data import Table
from dmlcli.catalog.text_files import is_escaped
from dmlcli.errors import CatalogError, UsageError, nearest
from dmlcli.report.skipped import Skipped
from dmlcli.types import Box

_USUAL_NAMES = {
    role: tuple(names.split())
    for role, names in {
        "image": "image path file filename image_path file_path filepath file_name image_file img image_name photo "
        "images photos image_src picture pictures image_url image_link img_url url",
        "product": "product label product_id item item_id sku class class_id identity handle article article_id "
        "article_number gtin ean id",
        "category": "category super_class superclass group super_class_id",
        "split": "split subset partition evaluation_status",
        "source": "source session camera sequence",
    }.items()
}
_FLAGS = ("is_query", "is_gallery")  # of open-metric-learning
_USUAL_BOXES = (  # left, top, right, bottom; a single column called box may mean anything and has to be named
    ("left", "top", "right", "bottom"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x_1", "y_1", "x_2", "y_2"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
)


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; None: recognized by the usual names."""

    image: str | None = None
    product: str | None = None
    category: str | None = None
    split: str | None = None
    source: str | None = None
    box: str | None = None  # one column with four numbers, or four columns separated by commas


def items_of(table: Table, columns: Columns, root: Path) -> tuple[list[Item], list[Skipped]]:
    """Return the items of a table, and what makes none with the reason; equal values are one object.

    Args:
        table: the columns with the line of each row; its cells are normalized in place.
        columns: names of columns where they are not the usual ones.
        root: what the paths are relative to.

    Raises:
        CatalogError: no image column, or an invalid cell.
        UsageError: a named column does not exist.
    """
    names = {role: _find(table, role, getattr(columns, role)) for role in _USUAL_NAMES}
    flags = {flag: usual for flag in _FLAGS if (usual := _plain_names(table.columns).get(flag))}
    box_columns = _box_columns(table, columns.box)
    used = {*names.values(), *box_columns, *flags.values()}
    image = names["image"] or ""
    cells.spread_images(table, image, root)
    if names["product"]:
        cells.tidy_products(table, names["product"])
    own = [name for name in table.columns if name not in used]
    numbers.normalize(table, own)
    blank = [""] * len(table)

    def texts(role: str) -> list[str]:
        name = names[role]
        return _shared(table.columns[name], split_name if role == "split" else str.strip) if name else blank

    roles = {role: texts(role) for role in ("product", "category", "split", "source")}
    if flags:
        roles["split"] = cells.split_by_flags(table, flags.get(_FLAGS[0]), flags.get(_FLAGS[1]), roles["split"])
    pairs = [_pairs(name, table.columns[name]) for name in own]
    extra = list(zip(*pairs, strict=True)) if pairs else [()] * len(table)
    items = [Item(*row) for row in zip(table.columns[image], *roles.values(), extra, strict=True)]
    skipped: list[Skipped] = []
    if box_columns:
        boxes = zip(*(table.columns[name] for name in box_columns), strict=True)
        items = list(_boxed(items, boxes, root, skipped))
    paths = table.columns[image]
    without = [row for row, path in enumerate(paths) if not path] if "" in paths else []
    nameless = [row for row in without if _says_anything(table, row)]
    if nameless:
        table.skip(table.lines[nameless[0]], _nameless(table, nameless))
    return [item for item in items if item.path], [*skipped, *table.skipped]


def check_encoding(table: Table, columns: Columns) -> None:
    """Refuse bytes that are not UTF-8 in a table that otherwise is, except in the names of files.

    Raises:
        CatalogError: naming the first such cell.
    """
    for name, column in table.columns.items():
        if name == (columns.image or usual_column("image", table.columns)):
            continue
        odd = next((cell for cell in set(column) if is_escaped(cell)), None)
        if odd is not None:
            shown = odd.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise CatalogError(
                f"{table.place(column.index(odd))}: '{shown}' in column {name} is not valid UTF-8",
                hint="save the table as UTF-8",
            )


def _says_anything(table: Table, row: int) -> bool:
    """Return whether a row has a filled cell; spreadsheets leave empty rows below the last one."""
    return any(column[row].strip() for column in table.columns.values())


def _nameless(table: Table, rows: list[int]) -> str:
    if len(rows) == 1:
        return "the row has no image"
    named = ", ".join(str(table.lines[row]) for row in rows[:5])
    return f"{len(rows)} rows have no image ({table.unit}s {named}{', …' if len(rows) > 5 else ''})"


def _plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return the column names by their lower-case form without spaces."""
    return {name.lower().strip().replace(" ", "_"): name for name in names}


def usual_column(role: str, names: Iterable[str]) -> str | None:
    """Return which of these columns has the most usual name for a role."""
    plain = _plain_names(names)
    return next((plain[usual] for usual in _USUAL_NAMES[role] if usual in plain), None)


def _find(table: Table, role: str, named: str | None) -> str | None:
    """Return the column of a role: the named one, else the first with a usual name, else None."""
    if named is not None:
        return _named(table, named)
    found = usual_column(role, table.columns)
    if found is None and role == "image":
        names = list(table.columns)
        if any(map(is_called_image, names)):
            raise CatalogError(
                f"{table.file} has no header: its first line is {', '.join(names[:5])}",
                hint="add a first line such as image,product",
            )
        if names and names[0].lstrip().lower().startswith(("<!doctype", "<html", "<?xml")):
            raise CatalogError(f"{table.file} is a web page, not a table", hint="download the table again")
        raise CatalogError(
            f"{table.file} has no image column; its columns are {', '.join(names[:20])}",
            hint="specify it with --image-column NAME",
        )
    return found


def _named(table: Table, name: str) -> str:
    if name not in table.columns:
        raise UsageError(f"{table.file} has no column '{name}'", hint=nearest(name, list(table.columns)))
    return name


def _box_columns(table: Table, named: str | None) -> tuple[str, ...]:
    """Return the columns that hold boxes, one or four; none where there are none."""
    if named is not None:
        if named in table.columns:
            return (named,)
        several = tuple(_named(table, name.strip()) for name in named.split(","))
        if len(several) != 4:
            raise UsageError(
                f"invalid --box-column: {len(several)} columns", hint="use one column, or four: left,top,right,bottom"
            )
        return several
    plain = {name.lower().strip(): name for name in table.columns}
    for usual in _USUAL_BOXES:
        if all(name in plain for name in usual):
            found = tuple(plain[name] for name in usual)
            progress.note(f"images are cropped to the boxes in the columns {', '.join(found)} of {table.file}")
            return found
    return ()


def _boxed(items: list[Item], boxes: Iterable[tuple[str, ...]], root: Path, skipped: list[Skipped]) -> Iterator[Item]:
    """Yield the items with their boxes; one whose box is not valid goes to `skipped`."""
    for item, texts in zip(items, boxes, strict=True):
        try:
            yield item._replace(box=_box(texts))
        except ValueError:
            box = " ".join(texts)
            skipped.append(
                Skipped(str(root / item.path), f"invalid box '{box}': expected left, top, right, bottom in pixels")
            )


def _box(texts: Sequence[str]) -> Box | None:
    """Return four numbers from four cells, or from one (`1 2 3 4`, `1,2,3,4`, `[1, 2, 3, 4]`); None for empty cells."""
    if not any(text.strip() for text in texts):
        return None
    if len(texts) == 1:
        texts = texts[0].strip("[]() \t").replace(",", " ").replace(";", " ").split()
    left, top, right, bottom = (float(text) for text in texts)
    if not (left < right < float("inf") and top < bottom < float("inf") and left + top > float("-inf")):
        raise ValueError
    return left, top, right, bottom


def _shared(column: Sequence[str], spell: Callable[[str], str]) -> list[str]:
    """Return the cells in their spelling; equal ones become one object, so that a million rows stay small."""
    known: dict[str, str] = {}
    for cell in set(column):
        text = spell(cell)
        known[cell] = known.setdefault(text, text)
    return [known[cell] for cell in column]


def _pairs(name: str, column: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, value) of each cell, with one object for equal cells."""
    pairs = {cell: (name, cell.strip()) for cell in set(column)}
    return [pairs[cell] for cell in column]


def text_of(value: object) -> str:
    """Return a JSON or Parquet value as a table cell; missing values (null, NaN) are empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
