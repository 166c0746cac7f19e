"""The item table: an SQLite file that says of each id which image of which product it is, with the user's own columns.

Two tables: `items`, whose columns users filter by, and `contents`, from which an update finds what has changed,
and which part of its file an image is.
"""

import os
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dmlcli.indexes.gallery import ItemDetails
from dmlcli.types import Box, Ids

if TYPE_CHECKING:
    from dmlcli.catalog import Item
    from dmlcli.embeddings import Embeddings

NO_IDS: Ids = np.zeros(0, np.int64)
FIXED = ("id", "path", "product", "category")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,14})")  # what is longer is a code
_REAL = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?([eE]-\d{1,3})?")
_WANTED = "FROM json_each(?) AS wanted CROSS JOIN items ON items.id = wanted.value"
_NAMES = f"SELECT items.id, items.product, items.path {_WANTED}"  # a list in one text is read sooner than many numbers
BY_PRODUCT = "CREATE INDEX items_by_product ON items (product)"  # queries look up the images of products
_MAPPED = 1 << 31  # bytes of the file that SQLite may map instead of reading page by page


class Row(NamedTuple):
    """One row of the item table."""

    id: int
    product: str
    image: Path


class Column(NamedTuple):
    """A column of the user's."""

    written: str  # in the catalog
    name: str  # in the item table
    kind: str  # INTEGER, REAL or TEXT
    decimals: int = 0  # of a REAL column, where all its numbers are written with as many: prices

    @property
    def declared(self) -> str:
        """The type of the column in SQLite, which ignores the decimals."""
        return f"{self.kind}({self.decimals})" if self.decimals else self.kind


def write(file: Path, embeddings: "Embeddings", ids: Ids) -> None:
    """Write the item table of an index.

    Args:
        file: an SQLite file.
        embeddings: the items, row by row.
        ids: (N,) of the rows.
    """
    from dmlcli.embeddings import box_cell

    own = columns(embeddings)
    marks = content_marks(embeddings)
    rows = np.argsort(ids, kind="stable").tolist()
    with closing(sqlite3.connect(file)) as table:
        table.execute("PRAGMA journal_mode = OFF")  # the file is not visible before it is complete
        table.execute("PRAGMA synchronous = OFF")
        extra = "".join(f', "{column.name.replace(chr(34), chr(34) * 2)}" {column.declared}' for column in own)
        table.execute(f"CREATE TABLE items (id INTEGER PRIMARY KEY, path TEXT, product TEXT, category TEXT{extra})")
        table.execute("CREATE TABLE contents (id INTEGER PRIMARY KEY, mark TEXT, box TEXT)")
        places = ", ".join("?" * (len(FIXED) + len(own)))
        table.executemany(f"INSERT INTO items VALUES ({places})", _item_rows(embeddings, ids, rows, own))
        boxes = [box_cell(item.box) or None for item in embeddings.items]
        contents = ((int(ids[row]), marks[row], boxes[row]) for row in rows)
        table.executemany("INSERT INTO contents VALUES (?, ?, ?)", contents)
        table.execute(BY_PRODUCT)
        table.commit()


def columns(embeddings: "Embeddings") -> list[Column]:
    """The user's own columns, in their order."""
    written = list(dict.fromkeys(name for item in embeddings.items for name, _ in item.columns))
    names, values = _distinct(written), _values(embeddings, written)
    kinds = {column: _kind(values[column]) for column in written}
    return [
        Column(column, names[column], kinds[column], _decimals(values[column]) if kinds[column] == "REAL" else 0)
        for column in written
    ]


def decimals(declared: str) -> int:
    """Return the decimals in the declared type of a column: 2 for REAL(2), 0 for REAL."""
    number = declared.partition("(")[2].rstrip(")")
    return int(number) if number.isdecimal() else 0


def connect(file: Path) -> sqlite3.Connection:
    """Open the table for reading; the file is never changed in place, only replaced."""
    table = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    table.execute(f"PRAGMA mmap_size = {_MAPPED}")
    return table


def count(table: sqlite3.Connection) -> int:
    """How many rows there are."""
    number: int = table.execute("SELECT count(*) FROM items").fetchone()[0]
    return number


def names(table: sqlite3.Connection, ids: Ids) -> tuple[list[str], list[str]]:
    """The product and the path of each of the ids, in their order; raises sqlite3.Error where the table lacks one."""
    known, places = np.unique(ids, return_inverse=True)  # rows are found quickest in the order they lie in
    rows = table.execute(_NAMES, (str(known.tolist()),)).fetchall()
    if [row[0] for row in rows] != known.tolist():
        raise sqlite3.DatabaseError(f"{len(known) - len(rows)} of {len(known)} items are missing")
    products, paths = ([row[column] for row in rows] for column in (1, 2))
    for stored in (products, paths):
        kinds = set(map(type, stored))
        if not kinds <= {str, bytes}:
            raise sqlite3.DatabaseError("an item has no path or no product")
        if bytes in kinds:  # few are, and a call for each would cost a search dear
            stored[:] = map(name, stored)
    order = places.tolist()
    return [products[place] for place in order], [paths[place] for place in order]


def rows(table: sqlite3.Connection, root: Path) -> Iterator[Row]:
    """Every row, by its id."""
    for number, path, product in table.execute("SELECT id, path, product FROM items ORDER BY id"):
        yield Row(number, name(product), root / name(path))


def details(table: sqlite3.Connection, ids: Sequence[int], has_boxes: bool) -> dict[int, ItemDetails]:
    """Return the details of items by id; ids that are not there are left out.

    Args:
        table: the item table.
        ids: of the items.
        has_boxes: whether the table stores boxes, which those of earlier versions do not.
    """
    boxes = ", (SELECT box FROM contents WHERE contents.id = items.id)" if has_boxes else ", NULL"
    # one statement: each one gives Python's lock away, which takes long to come back when searches run side by side
    found = table.execute(f"SELECT items.*{boxes} {_WANTED}", (str(list(ids)),))
    own = [column[0] for column in found.description[len(FIXED) : -1]]
    return {
        number: ItemDetails(name(category), dict(zip(own, map(_value, values), strict=True)), _box(box))
        for number, _, _, category, *values, box in found
    }


def _value(stored: Any) -> Any:
    return name(stored) if isinstance(stored, bytes) else stored


def _box(stored: str | None) -> "Box | None":
    if not stored:
        return None
    from dmlcli.embeddings import box_of

    return box_of(stored)


def name(stored: str | bytes) -> str:
    """A name as it was before it was stored."""
    return stored if isinstance(stored, str) else os.fsdecode(stored)


def ids_by_content(table: sqlite3.Connection) -> dict[tuple[str, str], list[int]]:
    """The ids of each path with each content; a list, since a table may name one image twice."""
    found = defaultdict(list)
    rows = table.execute("SELECT id, path, mark FROM items JOIN contents USING (id) ORDER BY id DESC")
    for number, path, mark in rows:
        found[name(path), mark].append(number)
    return found


def content_marks(embeddings: "Embeddings") -> list[str]:
    """Return what identifies the content of a row: the digest of its file, or of its vector without a file."""
    import hashlib

    marks = []
    for state, vector in zip(embeddings.states, embeddings.vectors, strict=True):
        if state.digest:
            marks.append(state.digest)
        else:
            marks.append(hashlib.blake2b(np.ascontiguousarray(vector).tobytes(), digest_size=16).hexdigest())
    return marks


def cells(item: "Item", own: Sequence[Column]) -> list[str | None]:
    """What an item says in the user's own columns, as it is written; None where it says nothing."""
    values = dict(item.columns)
    # an empty cell of a number column must not be compared as text
    return [
        None if column.kind != "TEXT" and not values.get(column.written) else values.get(column.written)
        for column in own
    ]


def _item_rows(
    embeddings: "Embeddings", ids: Ids, rows: Sequence[int], own: Sequence[Column]
) -> Iterator[list[object]]:
    for row in rows:
        item = embeddings.items[row]
        texts = [None if cell is None else _text(cell) for cell in cells(item, own)]
        yield [int(ids[row]), _text(item.path), _text(item.product), _text(item.category), *texts]


def _distinct(columns: list[str]) -> dict[str, str]:
    """A column name for each of the user's: SQLite ignores case, and four names are taken."""
    taken, distinct = set(FIXED), {}
    for column in columns:
        distinct[column] = column
        while distinct[column].lower() in taken:
            distinct[column] += "_"
        taken.add(distinct[column].lower())
    return distinct


def _values(embeddings: "Embeddings", columns: list[str]) -> dict[str, set[str]]:
    """The different cells of each column that are not empty."""
    values: dict[str, set[str]] = {column: set() for column in columns}
    for item in embeddings.items:
        for column, value in item.columns:
            if value:
                values[column].add(value)
    return values


def _kind(values: set[str]) -> str:
    """INTEGER or REAL where every value of a column is written as such a number is, else TEXT: 00730 is a code,
    and so is an EAN."""
    from dmlcli.catalog.numbers import is_code

    if values and all(_INTEGER.fullmatch(value) for value in values):
        return "TEXT" if is_code(values) else "INTEGER"
    return "REAL" if values and all(_REAL.fullmatch(value) for value in values) else "TEXT"


def _decimals(values: set[str]) -> int:
    """Return the number of digits after the point that all numbers of a column have; 0: it differs."""
    fractions = {value.partition(".")[2] for value in values}
    lengths = {len(fraction) for fraction in fractions}
    return lengths.pop() if len(lengths) == 1 and all(map(str.isdecimal, fractions)) else 0


def _text(value: str) -> str | bytes:
    """Names that are not UTF-8 go in as the bytes they are."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(value)
    return value
