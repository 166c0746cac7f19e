"""An index folder, opened for reading: its files are never changed in place, so nobody who reads is ever in the way."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlcli import disk
from dmlcli.arrays import Vectors
from dmlcli.errors import CannotRun, IndexFileError, UsageError
from dmlcli.indexes import items
from dmlcli.indexes.flat import EXACT, Flat
from dmlcli.indexes.gallery import Found, is_address
from dmlcli.indexes.items import Ids

if TYPE_CHECKING:
    from dmlcli.indexes.searcher import Scores, Searcher

if TYPE_CHECKING:
    from dmlcli.indexes.milvus.collection import Collection

SCHEMA = 1
RECORD, VECTORS, ROWS, ITEMS = "index.json", "vectors.faiss", "rows.faiss", "items.sqlite"
CALIBRATION = "calibration.json"  # what --min-score auto has found, kept by the first who asks
FILES = (RECORD, VECTORS, ROWS, ITEMS, CALIBRATION)


@dataclass(frozen=True)
class Index:
    """An opened index folder; vectors stay on disk until they are needed."""

    folder: Path
    root: Path
    model: str  # fingerprint, "" for an index of bare embeddings
    model_folder: Path | None
    views: str  # what was averaged for each image, "" for one plain view
    images: int
    products: int
    dim: int
    kind: str  # a FAISS factory string
    record: dict[str, Any] = field(repr=False)  # index.json
    searcher: "Searcher | Flat" = field(repr=False)
    table: sqlite3.Connection = field(repr=False)  # of the items, read-only

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def most(self) -> int:
        """As many hits as there are images."""
        return self.images

    @property
    def stamp(self) -> bytes:
        """The record: it changes whenever the index does."""
        return (self.folder / RECORD).read_bytes()

    @property
    def items_file(self) -> Path:
        """The item table."""
        return self.folder / ITEMS

    def search(self, vectors: Vectors, k: int, *, among: Ids | None = None) -> list[list[Found]]:
        """The k images closest to each of the unit vectors (Q, D), best first; fewer where there are fewer.

        Args:
            among: the only ids that may be found, None for all.
        """
        scores, ids = self.nearest(vectors, k, among=among)
        there = ids >= 0
        try:
            products, paths = items.names(self.table, ids[there])
        except sqlite3.Error as error:
            raise _damaged(self.folder, error) from error
        rounded = np.minimum(scores[there], 1).tolist()
        found = list(map(Found, ids[there].tolist(), rounded, products, paths, repeat(self.root)))
        ends = np.cumsum(there.sum(axis=1)).tolist()
        return [found[start:end] for start, end in pairwise([0, *ends])]

    def nearest(self, vectors: Vectors, k: int, *, among: Ids | None = None) -> "tuple[Scores, Ids]":
        """Scores and ids (Q, K) of what `search` finds, without their names; id -1 where there is nothing more."""
        if vectors.shape[1] != self.dim:
            raise UsageError(f"the query has {vectors.shape[1]} dimensions, the index {self.dim}")
        return self.searcher.search(vectors, k, among)

    def vectors(self, ids: Sequence[int] | Ids) -> Vectors:
        """The unit vectors (n, D) of these ids; raises KeyError for one that is not there."""
        return self.searcher.vectors(np.asarray(ids, dtype=np.int64))

    def kept(self) -> dict[str, Any] | None:
        """The note beside the index; None where there is none, or a damaged one."""
        try:
            return disk.read_json(self.folder / CALIBRATION)
        except (OSError, ValueError):
            return None

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a note beside the index, if it may be written to."""
        with suppress(CannotRun):
            disk.write_json(self.folder / CALIBRATION, note)

    def ids(self) -> Ids:
        """The id of every image, ascending."""
        return self.searcher.ids

    def rows(self) -> Iterator[items.Row]:
        """Every image, by its id."""
        return items.rows(self.table, self.root)


def open_gallery(place: Path | str) -> "Index | Collection":
    """Open what is searched in: an index folder, or a collection by its address."""
    if not is_address(place):
        return open_index(Path(place))
    from dmlcli.indexes.milvus import address, collection

    return collection.open_collection(address.parse(place))


def open_index(folder: Path) -> Index:
    """Open an index folder, its vectors memory-mapped; raises IndexFileError where there is none or it is damaged."""
    if is_address(folder):
        raise UsageError("a collection is searched by query; this wants an index folder", hint="dmlcli index CATALOG")
    folder = disk.restore(Path(folder))
    try:
        return disk.settled(folder, _open)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IndexFileError(f"there is no index in {folder}", hint="dmlcli index CATALOG") from error
    except (ValueError, KeyError, TypeError, RuntimeError, sqlite3.Error, OSError) as error:
        raise _damaged(folder, error) from error


def _open(folder: Path) -> Index:
    record = disk.read_json(folder / RECORD)
    searcher = _searcher(folder, record)
    table = items.connect(folder / ITEMS)
    count = items.count(table)
    if not searcher.total == count == record["images"] or searcher.dim != record["dim"]:
        found = f"{searcher.total} vectors of {searcher.dim} for {count} items"
        raise ValueError(f"{found}, {record['images']} of {record['dim']} expected")
    return Index(
        folder=folder,
        root=disk.dereference(record["root"], folder),
        model=record["model"],
        model_folder=disk.dereference(record["model_folder"], folder) if record["model_folder"] else None,
        views=record["views"],
        images=record["images"],
        products=record["products"],
        dim=record["dim"],
        kind=record["kind"],
        record=record,
        searcher=searcher,
        table=table,
    )


def _searcher(folder: Path, record: dict[str, Any]) -> "Searcher | Flat":
    if record["kind"] == EXACT and not record["dead"] and not record["rows"]:
        with suppress(ValueError):  # large, or damaged, which FAISS will say
            return Flat(folder / VECTORS)
    from dmlcli.indexes import kinds
    from dmlcli.indexes.searcher import Searcher

    near = kinds.read(folder / VECTORS)
    kinds.tune(near, record["settings"])
    rows = kinds.read(folder / ROWS) if record["rows"] else None
    if rows is not None and (rows.ntotal, rows.d) != (near.ntotal, near.d):
        raise ValueError(f"{rows.ntotal} rows of {rows.d} for {near.ntotal} vectors of {near.d}")
    return Searcher(near, rows, record["settings"].get("again", 0), np.asarray(record["dead"], dtype=np.int64))


def _damaged(folder: Path, error: Exception) -> IndexFileError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return IndexFileError(f"the index in {folder} is damaged: {reason}", hint="dmlcli index CATALOG")
