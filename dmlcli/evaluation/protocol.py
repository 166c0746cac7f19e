"""Choice of queries and gallery, from the catalog's splits and the products that the model was trained on."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from dmlcli.catalog import OPEN_TO_TRAINING, VALIDATION_SPLITS, Item
from dmlcli.errors import UsageError, nearest
from dmlcli.ranking import Groups
from dmlcli.types import Rows

LEAVE_ONE_OUT, QUERY_GALLERY = "leave-one-out", "query/gallery"
_PAIRS = [("query", "gallery"), *((split, "train") for split in ("test", *VALIDATION_SPLITS))]
_FEWEST = 2  # products that must be left when those trained on are left out


@dataclass(frozen=True)
class Protocol:
    """Rows of a catalog that search and rows that are searched; the same rows twice are leave-one-out."""

    name: str
    scope: str  # in words, as the report prints it
    queries: list[int]
    gallery: list[int]
    includes_training: bool


def choose(
    items: Sequence[Item],
    query_split: str | None,
    gallery_split: str | None,
    trained: Collection[str],
    everything: bool = False,
) -> Protocol:
    """Choose the protocol for a catalog that is searched within itself.

    If splits are given, they are used; one split in itself is leave-one-out. Else it is query in gallery, test in
    train, or val in train, if most of the queried products are there; else leave-one-out in the test split, or in all
    images. Products that the model was trained on then stay in the gallery but are not queries, unless `everything`,
    or unless no others are left.

    Args:
        items: the catalog.
        query_split, gallery_split: splits to search with and in; None: choose.
        trained: the products that the model was trained on.
        everything: also use products that were trained on as queries.

    Raises:
        UsageError: a split does not exist.
    """
    if query_split is not None and gallery_split is not None:
        queries, gallery = rows_of(items, query_split), rows_of(items, gallery_split)
        return _apart(items, queries, gallery, query_split, gallery_split, trained)
    rows = list(range(len(items)))
    scope = "all images"
    if not everything:
        for query_name, gallery_name in _PAIRS:
            queries, gallery = _of(items, query_name), _of(items, gallery_name)
            if queries and _share(items, queries, gallery) >= 0.5:
                return _apart(items, queries, gallery, query_name, gallery_name, trained)
        for name in ("query", "test"):
            if found := _of(items, name):
                rows, scope = found, f"split {name}"
                break
    products = {items[row].product for row in rows} - {""}
    known = products & set(trained)
    fresh = [row for row in rows if items[row].product not in known]
    new = len(products - known)
    if known and new >= _FEWEST and not everything:
        others = f"the {len(known)} that the model was trained on are only in the gallery"
        return Protocol(LEAVE_ONE_OUT, f"{new} held-out products; {others}", fresh, rows, False)
    return Protocol(LEAVE_ONE_OUT, scope, rows, rows, bool(known))


def rows_of(items: Sequence[Item], split: str | None) -> list[int]:
    """Return the rows of one split, all for None; raises UsageError where it is empty."""
    if split is None:
        return list(range(len(items)))
    rows = _of(items, split.lower())
    if not rows:
        known = sorted({item.split for item in items} - {""})
        raise UsageError(
            f"no image has split '{split}'",
            hint=nearest(split, known) if known else "specify the column with --split-column",
        )
    return rows


EXCLUSIONS = {
    "camera": "same product and same source as the query",
    "session": "same source as the query",
}


def exclusion(
    queries: Sequence[Item], gallery: Sequence[Item], own_rows: Rows | None, same: str | None
) -> Callable[[int], Rows] | None:
    """Return a function from a query to the gallery rows that it may not find; None if there are no exclusions.

    Args:
        queries, gallery: the items.
        own_rows: (Q,) the gallery row of each query itself; None: queries are not in the gallery.
        same: camera excludes images of the same product and source (the rule of Market-1501), session all of that
            source.

    Raises:
        UsageError: no source is known.
    """
    if same is None:
        return None if own_rows is None else lambda query: own_rows[query : query + 1]
    if not any(item.source for item in queries) or not any(item.source for item in gallery):
        raise UsageError(
            f"--exclude-same {same} needs the source of each image",
            hint="specify the source column with --source-column NAME",
        )
    sources = Groups([item.source for item in queries], [item.source for item in gallery])
    products = np.array([item.product for item in gallery])

    def excluded(query: int) -> Rows:
        rows = sources.rows(query)
        if same == "camera":
            rows = rows[products[rows] == queries[query].product]
        return rows if own_rows is None else np.append(rows, own_rows[query])

    return excluded


def _apart(
    items: Sequence[Item],
    queries: list[int],
    gallery: list[int],
    query_name: str,
    gallery_name: str,
    trained: Collection[str],
) -> Protocol:
    used = (
        row for row in queries if items[row].split in OPEN_TO_TRAINING and items[row].split not in VALIDATION_SPLITS
    )
    includes_training = any(items[row].product in trained for row in used)
    if queries == gallery:
        return Protocol(LEAVE_ONE_OUT, f"split {query_name}", queries, gallery, includes_training)
    return Protocol(QUERY_GALLERY, f"split {query_name} in split {gallery_name}", queries, gallery, includes_training)


def _of(items: Sequence[Item], split: str) -> list[int]:
    return [row for row, item in enumerate(items) if item.split.lower() == split]


def _share(items: Sequence[Item], queries: list[int], gallery: list[int]) -> float:
    """Share of the queries whose product is in the gallery."""
    products = {items[row].product for row in gallery} - {""}
    return sum(items[row].product in products for row in queries) / len(queries)
