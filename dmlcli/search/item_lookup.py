"""Queries of an index's item table: rows of hits, images of a product, filters."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlcli.errors import UsageError, nearest
from dmlcli.indexes import Index
from dmlcli.indexes.gallery import ItemDetails
from dmlcli.indexes.item_table import FIXED, connect, decimals, details, name
from dmlcli.types import Ids

if TYPE_CHECKING:
    from dmlcli.catalog import Photo

_GUESSED_AMONG = 5000  # products looked through for the nearest name


class Items:
    """The item table of an index, read-only."""

    def __init__(self, index: Index) -> None:
        self._file, self._root, self._table = index.items_file, index.root, index.table
        self._kinds = {row[1]: row[2] for row in self._table.execute("PRAGMA table_info(items)")}
        self._has_boxes = any(row[1] == "box" for row in self._table.execute("PRAGMA table_info(contents)"))

    def where(self, expression: str) -> Ids:
        """Return the ids of the items for which an SQL expression is true; raises UsageError where it is none."""
        from dmlcli.indexes import filters

        with closing(connect(self._file)) as table:
            return filters.matching(table, expression)

    def details(self, ids: Sequence[int]) -> list[ItemDetails]:
        """Return the category, the user's own columns and the box of items; raises KeyError for an unknown id."""
        known = details(self._table, ids, self._has_boxes)
        return [known[number] for number in ids]

    def columns(self) -> dict[str, int]:
        """Return the user's own columns, in order, with the decimals that all numbers of a column have, or 0."""
        return {column: decimals(kind) for column, kind in self._kinds.items() if column not in FIXED}

    def values(self, column: str, most: int) -> list[Any]:
        """Return the different values of a column, ascending, without empty ones; [] where there are more."""
        quoted = '"' + column.replace('"', '""') + '"'
        filled = f"SELECT DISTINCT {quoted} FROM items WHERE {quoted} <> '' ORDER BY {quoted} LIMIT ?"
        found = [row[0] for row in self._table.execute(filled, (most + 1,))]
        return [] if len(found) > most else [name(value) if isinstance(value, bytes) else value for value in found]

    def ends(self, column: str) -> tuple[float, float] | None:
        """Return the least and the greatest number of a column; None for text, or without any number."""
        if self._kinds[column].partition("(")[0] not in ("INTEGER", "REAL"):
            return None
        quoted = '"' + column.replace('"', '""') + '"'
        least, most = self._table.execute(f"SELECT min({quoted}), max({quoted}) FROM items").fetchone()
        return None if least is None else (least, most)

    def photo(self, number: int) -> "Photo":
        """Return the image file of an item, and the part of it that it is; raises KeyError for an unknown id."""
        from dmlcli.catalog import Photo

        row = self._table.execute("SELECT path FROM items WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return Photo(self._root / name(row[0]), self.details([number])[0].box)

    def product(self, number: int) -> str:
        """Return the product of an item, "" where it is not known; raises KeyError for an unknown id."""
        row = self._table.execute("SELECT product FROM items WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return name(row[0])

    def of_product(self, product: str, among: Ids | None = None) -> Ids:
        """Return the ids of the images of a product, of those that a filter left; none where it is not known."""
        ids = self._ids("product = ?", product)
        return ids if among is None else np.intersect1d(ids, among)

    def of_products(self, products: Sequence[str], among: Ids | None = None) -> list[Ids]:
        """Return the ids of the images of each product, as `of_product` does."""
        return [self.of_product(product, among) for product in products]

    def named(self, asked: str) -> "tuple[Ids, Photo]":
        """Return the images that --like means: those of a product, or those at a path, and one of them to be shown.

        Raises:
            UsageError: neither a product nor an image; the hint has the nearest products.
        """
        ids = self.of_product(asked)
        for path in _paths(asked, self._root):
            ids = ids if len(ids) else self._ids("path = ?", path)
        if not len(ids):
            rows = self._table.execute(f"SELECT DISTINCT product FROM items LIMIT {_GUESSED_AMONG}")
            known = sorted(name(row[0]) for row in rows if row[0])
            raise UsageError(f"'{asked}' not found in the index", hint=nearest(asked, known[:_GUESSED_AMONG]))
        return ids, self.photo(int(ids[0]))

    def at_path(self, asked: str, is_file: bool) -> Ids:
        """Return the ids of the images at a path: of a file that exists here, else also of a path as it was indexed."""
        for path in _paths(asked, self._root)[-1 if is_file else 0 :]:
            if len(ids := self._ids("path = ?", path)):
                return ids
        return np.empty(0, dtype=np.int64)

    def usual_images(self) -> float:
        """Return the median number of images of a product; 0 without products."""
        counts = "SELECT count(*) AS images FROM items WHERE product <> '' GROUP BY product ORDER BY images"
        images = [row[0] for row in self._table.execute(counts)]
        return float(np.median(images)) if images else 0.0

    def products(self) -> tuple[Ids, list[str]]:
        """Return every id with its product."""
        rows = self._table.execute("SELECT id, product FROM items ORDER BY id").fetchall()
        return np.array([row[0] for row in rows], dtype=np.int64), [name(row[1]) for row in rows]

    def _ids(self, condition: str, value: str) -> Ids:
        # names that are not UTF-8 are stored as the bytes they are
        stored: str | bytes = value if _is_text(value) else os.fsencode(value)
        rows = self._table.execute(f"SELECT id FROM items WHERE {condition} ORDER BY id", (stored,))
        return np.array([row[0] for row in rows], dtype=np.int64)


def _paths(asked: str, root: Path) -> list[str]:
    """Return the paths in the index that a name may mean: as it is written, and as a path from here."""
    try:
        return list(dict.fromkeys((asked, os.path.relpath(Path(asked).resolve(), root))))
    except (OSError, ValueError):  # a name that no file can have
        return [asked]


def _is_text(value: str) -> bool:
    return not any("\udc80" <= sign <= "\udcff" for sign in value)
