"""From the columns of a table to items: which column is what, and what its cells mean."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dmlcli import progress
from dmlcli.catalog.items import Box, Item
from dmlcli.errors import CatalogError, UsageError, nearest

Table = dict[str, Sequence[str]]  # columns by name, all of one length; a cell is "" where there is nothing

_USUAL_NAMES = {
    "image": (
        "image",
        "path",
        "file",
        "filename",
        "image_path",
        "file_path",
        "filepath",
        "img",
        "image_name",
        "photo",
        "images",
        "photos",
    ),
    "product": ("product", "label", "product_id", "item", "item_id", "sku", "class", "class_id", "identity", "id"),
    "category": ("category", "super_class", "superclass", "group", "super_class_id"),
    "split": ("split", "subset", "partition", "evaluation_status"),
    "source": ("source", "session", "camera"),
}
_USUAL_BOXES = (  # left, top, right, bottom; a single column called box may mean anything and has to be named
    ("left", "top", "right", "bottom"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
)


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns; None means: found by the usual names."""

    image: str | None = None
    product: str | None = None
    category: str | None = None
    split: str | None = None
    source: str | None = None
    box: str | None = None  # one column with four numbers, or four columns separated by commas


def items_of(table: Table, columns: Columns, file: Path) -> tuple[list[Item], list[tuple[str, str]]]:
    """The items of a table, and the paths that make none with the reason; values are shared between equal cells."""
    names = {role: _find(table, role, getattr(columns, role), file) for role in _USUAL_NAMES}
    box_columns = _box_columns(table, columns.box, file)
    used = {*names.values(), *box_columns}
    blank = [""] * len(next(iter(table.values()), ()))

    def cells(role: str) -> list[str]:
        name = names[role]
        return _shared(table[name], lower=role == "split") if name else blank

    own = [_pairs(name, column) for name, column in table.items() if name not in used]
    extra = list(zip(*own, strict=True)) if own else [()] * len(blank)
    paths = [path.strip() for path in table[names["image"] or ""]]
    roles = [cells(role) for role in ("product", "category", "split", "source")]
    items = [Item(*row) for row in zip(paths, *roles, extra, strict=True)]
    skipped: list[tuple[str, str]] = []
    if box_columns:
        items = list(_boxed(items, zip(*(table[name] for name in box_columns), strict=True), skipped))
    nameless = sum(1 for item in items if not item.path and (item.product or any(text for _, text in item.columns)))
    if nameless:
        skipped.append((str(file.absolute()), f"{nameless} rows name no image"))
    return [item for item in items if item.path], skipped


def usual_column(role: str, names: Iterable[str]) -> str | None:
    """Which of these columns has the most usual name for a role."""
    plain = {name.lower().strip().replace(" ", "_"): name for name in names}
    return next((plain[usual] for usual in _USUAL_NAMES[role] if usual in plain), None)


def _find(table: Table, role: str, named: str | None, file: Path) -> str | None:
    """The column for a role: the named one, else the first with a usual name, else None (but images are a must)."""
    if named is not None:
        return _named(table, named, file)
    found = usual_column(role, table)
    if found is None and role == "image":
        raise CatalogError(
            f"{file} has no column of image paths; it has {', '.join(list(table)[:20])}",
            hint="--image-column NAME says which it is",
        )
    return found


def _named(table: Table, name: str, file: Path) -> str:
    if name not in table:
        raise UsageError(f"{file} has no column '{name}'", hint=nearest(name, list(table)))
    return name


def _box_columns(table: Table, named: str | None, file: Path) -> tuple[str, ...]:
    """The columns that hold boxes, one or four; none where there are none."""
    if named is not None:
        if named in table:
            return (named,)
        several = tuple(_named(table, name.strip(), file) for name in named.split(","))
        if len(several) != 4:
            raise UsageError(f"--box-column names {len(several)} columns", hint="one, or left,top,right,bottom")
        return several
    plain = {name.lower().strip(): name for name in table}
    for usual in _USUAL_BOXES:
        if all(name in plain for name in usual):
            found = tuple(plain[name] for name in usual)
            progress.note(f"images are cut to the boxes in the columns {', '.join(found)} of {file}")
            return found
    return ()


def _boxed(items: list[Item], cells: Iterable[tuple[str, ...]], skipped: list[tuple[str, str]]) -> Iterator[Item]:
    """The items with their boxes; one whose box is none goes to `skipped`."""
    for item, texts in zip(items, cells, strict=True):
        try:
            yield item._replace(box=_box(texts))
        except ValueError:
            said = " ".join(texts)
            skipped.append((item.path, f"the box '{said}' is not left, top, right, bottom in pixels"))


def _box(texts: Sequence[str]) -> Box | None:
    """Four numbers from four cells, or from one (`1 2 3 4`, `1,2,3,4`, `[1, 2, 3, 4]`); None for empty ones."""
    if not any(text.strip() for text in texts):
        return None
    if len(texts) == 1:
        texts = texts[0].strip("[]() \t").replace(",", " ").replace(";", " ").split()
    left, top, right, bottom = (float(text) for text in texts)
    if not (left < right < float("inf") and top < bottom < float("inf") and left + top > float("-inf")):
        raise ValueError
    return left, top, right, bottom


def _shared(cells: Sequence[str], lower: bool = False) -> list[str]:
    """The cells without spaces around them; equal ones become one object, so that a million rows stay small."""
    known: dict[str, str] = {}
    for cell in set(cells):
        text = cell.strip()
        known[cell] = known.setdefault(text.lower() if lower else text, text.lower() if lower else text)
    return [known[cell] for cell in cells]


def _pairs(name: str, cells: Sequence[str]) -> list[tuple[str, str]]:
    """(name, value) for each cell, one object for equal cells."""
    pairs = {cell: (name, cell.strip()) for cell in set(cells)}
    return [pairs[cell] for cell in cells]


def text_of(value: object) -> str:
    """A JSON or Parquet value as the cell of a table."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
