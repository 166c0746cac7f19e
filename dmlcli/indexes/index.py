"""An index folder, opened for reading. Its files are never changed in place, so readers never block a writer."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dmlcli import progress, storage
from dmlcli.errors import CannotRun, IndexFileError, UsageError
from dmlcli.indexes import item_table
from dmlcli.indexes.flat import Flat
from dmlcli.indexes.gallery import Found, is_address
from dmlcli.indexes.record import EXACT, RECORD, IndexRecord, read
from dmlcli.storage import checksums, records
from dmlcli.types import Ids, Scores, Vectors

if TYPE_CHECKING:
    from dmlcli.indexes.milvus.collection import Collection
    from dmlcli.indexes.searcher import Searcher

VECTORS, ROWS, ITEMS = "vectors.faiss", "rows.faiss", "items.sqlite"
CALIBRATION = "calibration.json"  # what --max-false-accepts has found, kept by the first who asks
FILES = (RECORD, VECTORS, ROWS, ITEMS, CALIBRATION, checksums.CHECKED)  # of the folder
_LONGEST = 20.0  # seconds that one statement may take while an index is opened
_STEPS = 10_000  # of SQLite's machine between two looks at the clock


@dataclass(frozen=True)
class Index:
    """An opened index folder; vectors stay on disk until they are needed."""

    folder: Path
    record: IndexRecord
    stamp: bytes = field(repr=False)  # the file of the record: it changes whenever the index does
    searcher: "Searcher | Flat" = field(repr=False)
    table: sqlite3.Connection = field(repr=False)  # of the items, read-only

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def root(self) -> Path:
        """What the paths of its images are relative to."""
        return self.record.root

    @property
    def model(self) -> str:
        """The fingerprint of the model that made it, "" for embeddings of another tool."""
        return self.record.model

    @property
    def model_folder(self) -> Path | None:
        """Where that model lay."""
        return self.record.model_folder

    @property
    def images(self) -> int:
        """How many images can be found."""
        return self.record.images

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.record.dim

    @property
    def kind(self) -> str:
        """The factory string of FAISS."""
        return self.record.kind

    @property
    def most(self) -> int:
        """As many hits as there are images."""
        return self.images

    @property
    def items_file(self) -> Path:
        """The item table."""
        return self.folder / ITEMS

    def has_changed(self) -> bool:
        """Whether another index lies in the folder now; False while it is being replaced."""
        try:
            return records.read_bytes(self.folder / RECORD) != self.stamp
        except OSError:
            return False

    def search(self, vectors: Vectors, k: int, *, among: Ids | None = None) -> list[list[Found]]:
        """Return the k images closest to each vector, best first; fewer if the index has fewer.

        Args:
            vectors: (Q, D), unit length.
            k: number of images.
            among: the ids that may be found; None: all.
        """
        scores, ids = self.nearest(vectors, k, among=among)
        there = ids >= 0
        if not np.isfinite(scores[there]).all():
            raise _damaged(self.folder, ValueError("vectors.faiss holds values that are not finite"))
        try:
            products, paths = item_table.names(self.table, ids[there])
        except sqlite3.Error as error:
            raise _damaged(self.folder, error) from error
        rounded = np.minimum(scores[there], 1).tolist()
        found = list(map(Found, ids[there].tolist(), rounded, products, paths, repeat(self.root)))
        ends = np.cumsum(there.sum(axis=1)).tolist()
        return [found[start:end] for start, end in pairwise([0, *ends])]

    def nearest(self, vectors: Vectors, k: int, *, among: Ids | None = None) -> "tuple[Scores, Ids]":
        """Return scores and ids of the nearest images, best first, without their names: two arrays (Q, n).

        n is k, or less if fewer images may be found.

        Args:
            vectors: (Q, D), unit length.
            k: number of images.
            among: the ids that may be found; None: all.
        """
        if vectors.shape[1] != self.dim:
            raise UsageError(f"the query has {vectors.shape[1]} dimensions, the index {self.dim}")
        if not np.isfinite(vectors).all():
            raise CannotRun("the vector of the query holds values that are not finite", hint="is the model damaged?")
        return self.searcher.search(vectors, k, among)

    def vectors(self, ids: Sequence[int] | Ids) -> Vectors:
        """The unit vectors (n, D) of these ids; raises KeyError for one that is not there."""
        return self.searcher.vectors(np.asarray(ids, dtype=np.int64))

    def kept(self) -> dict[str, Any] | None:
        """The note beside the index; None where there is none, or a damaged one."""
        try:
            return records.read_object(self.folder / CALIBRATION)
        except (OSError, ValueError):
            return None

    def keep(self, note: dict[str, Any]) -> None:
        """Keep a note beside the index, if it may be written to."""
        with suppress(CannotRun):
            storage.write_json(self.folder / CALIBRATION, note)

    def ids(self) -> Ids:
        """The id of every image, ascending."""
        return self.searcher.ids

    def rows(self) -> Iterator[item_table.Row]:
        """Every image, by its id."""
        return item_table.rows(self.table, self.root)


def open_gallery(place: Path | str) -> "Index | Collection":
    """Open what is searched in: an index folder, or a collection by its address."""
    if not is_address(place):
        index = open_index(Path(place))
        _warn_of_moved_root(index)
        return index
    from dmlcli.indexes.milvus import address, collection

    return collection.open_collection(address.parse(place))


def _warn_of_moved_root(index: Index) -> None:
    """Say so where the folder that hits are named by is not there any more: one look, whatever its size."""
    if not is_root_there(index.root):
        progress.warn(
            f"the catalog {index.root} is not there, so the images of hits cannot be opened; if it was moved, "
            "dmlcli index NEWPATH --update"
        )


def is_root_there(root: Path) -> bool:
    """Whether the folder of a catalog is there; one behind a URL is not looked for."""
    return "".join(root.parts[:1]).endswith(":") or root.exists()


def open_index(folder: Path) -> Index:
    """Open an index folder, its vectors memory-mapped; raises IndexFileError where there is none or it is damaged."""
    if is_address(folder):
        raise UsageError("a collection is searched by query; this wants an index folder", hint="dmlcli index CATALOG")
    folder = storage.restore(Path(folder))
    try:
        return storage.settled(folder, _open)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise IndexFileError(f"index not found in {folder}", hint="dmlcli index CATALOG") from error
    except (ValueError, KeyError, TypeError, RuntimeError, sqlite3.Error, OSError) as error:
        raise _damaged(folder, error) from error


def _open(folder: Path) -> Index:
    record = read(folder)
    if record.sums and set(record.sums) != {VECTORS, ITEMS, *([ROWS] if record.rows else [])}:
        raise ValueError("it lists other files than an index has")
    checksums.check(folder, record.sums)
    searcher = _searcher(folder, record)
    table, count = _table(folder / ITEMS)
    if not searcher.total == count == record.images or searcher.dim != record.dim:
        found = f"{searcher.total} vectors of {searcher.dim} for {count} items"
        raise ValueError(f"{found}, {record.images} of {record.dim} expected")
    return Index(folder, record, records.read_bytes(folder / RECORD), searcher, table)


def _table(file: Path) -> tuple[sqlite3.Connection, int]:
    """The item table and how many rows it has; raises ValueError where the file holds anything but plain tables."""
    if not file.is_file():
        raise ValueError(f"{file.name} is not a regular file")
    table = item_table.connect(file)
    end = time.monotonic() + _LONGEST
    table.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
    objects = table.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name LIMIT 4").fetchall()
    tables = [(kind, name) for kind, name, sql in objects if sql != item_table.BY_PRODUCT]
    if tables not in ([("table", "contents"), ("table", "items")], [("table", "items")]):
        raise ValueError(f"{file.name} does not hold the tables of an index")
    columns = table.execute("PRAGMA table_xinfo(items)").fetchall()  # id, name, type, …, hidden
    if tuple(column[1] for column in columns[: len(item_table.FIXED)]) != item_table.FIXED or any(
        row[6] for row in columns
    ):
        raise ValueError(f"the table of {file.name} does not have the columns of an index")
    count = item_table.count(table)
    table.set_progress_handler(None, 0)
    return table, count


def _searcher(folder: Path, record: IndexRecord) -> "Searcher | Flat":
    if record.kind == EXACT and not record.dead and not record.rows:
        with suppress(ValueError):  # large, or damaged, which FAISS will say
            return Flat(folder / VECTORS)
    from dmlcli.indexes import faiss_kinds
    from dmlcli.indexes.searcher import Searcher

    vectors = faiss_kinds.read(folder / VECTORS)
    faiss_kinds.tune(vectors, record.settings)
    rows = faiss_kinds.read(folder / ROWS) if record.rows else None
    if rows is not None and (rows.ntotal, rows.d) != (vectors.ntotal, vectors.d):
        raise ValueError(f"{rows.ntotal} rows of {rows.d} for {vectors.ntotal} vectors of {vectors.d}")
    return Searcher(vectors, rows, record.settings.get("again", 0), np.asarray(record.dead, dtype=np.int64))


def _damaged(folder: Path, error: Exception) -> IndexFileError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return IndexFileError(f"the index in {folder} is damaged: {reason}", hint="dmlcli index CATALOG")
