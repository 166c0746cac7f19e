"""The noun Index: a FAISS file, the item table in SQLite, and index.json. The only file that imports faiss."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmlcli import disk
from dmlcli.embeddings import Embeddings, Vectors
from dmlcli.errors import IndexFileError, UsageError

SCHEMA = 1
_RECORD, _VECTORS, _ITEMS = "index.json", "vectors.faiss", "items.sqlite"
FILES = (_RECORD, _VECTORS, _ITEMS)
_FIXED = ("id", "path", "product", "category")
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})")
_REAL = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")


@dataclass(frozen=True)
class Found:
    """One row of the item table that came up, with its score."""

    score: float
    product: str
    image: Path


@dataclass(frozen=True)
class Index:
    """An opened index folder; vectors stay on disk until they are needed."""

    folder: Path
    root: Path
    model: str  # fingerprint, "" for an index of bare embeddings
    model_folder: Path | None
    images: int
    products: int
    dim: int
    kind: str
    _faiss: Any

    def search(self, vectors: Vectors, k: int) -> list[list[Found]]:
        """The k images closest to each of the unit vectors (Q, D), best first; fewer where the index holds fewer."""
        if vectors.shape[1] != self.dim:
            raise UsageError(f"the query has {vectors.shape[1]} dimensions, the index {self.dim}")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        scores, ids = self._faiss.search(queries, min(k, self.images))
        with closing(_connect(self.folder / _ITEMS)) as table:
            return [list(self._rows(table, *row)) for row in zip(scores.tolist(), ids.tolist(), strict=True)]

    def _rows(self, table: sqlite3.Connection, scores: list[float], ids: list[int]) -> Iterator[Found]:
        for score, number in zip(scores, ids, strict=True):
            if number < 0:
                continue
            path, product = table.execute("SELECT path, product FROM items WHERE id = ?", (number,)).fetchone()
            yield Found(min(score, 1.0), _name(product), self.root / _name(path))


def build(folder: Path, embeddings: Embeddings, model_folder: Path | None) -> Index:
    """Write an exact index of the embeddings, whole, replacing what was there, and open it."""
    import faiss

    if not embeddings.items:
        raise IndexFileError("there is nothing to index: no image could be embedded")
    vectors = np.ascontiguousarray(embeddings.vectors, dtype=np.float32)
    ids = np.arange(len(vectors), dtype=np.int64)
    with disk.new_folder(folder, FILES) as draft:
        searcher = faiss.IndexIDMap2(faiss.IndexFlatIP(embeddings.dim))
        searcher.add_with_ids(vectors, ids)
        faiss.write_index(searcher, str(draft / _VECTORS))
        _write_items(draft / _ITEMS, embeddings)
        record = {
            "schema": SCHEMA,
            "kind": "exact (IndexFlatIP)",
            "images": len(vectors),
            "products": len(set(embeddings.products) - {""}),
            "dim": embeddings.dim,
            "root": disk.reference(embeddings.root, folder),
            "model": embeddings.model,
            "model_folder": disk.reference(model_folder, folder) if model_folder else None,
        }
        disk.write_json(draft / _RECORD, record)
    return open_index(folder)


def open_index(folder: Path) -> Index:
    """Open an index folder, its vectors memory-mapped; raises IndexFileError where there is none or it is damaged."""
    import faiss

    folder = disk.restore(Path(folder))
    faiss.omp_set_num_threads(1)  # one query needs no team of threads, and waiting for one costs more than it saves
    try:
        record = disk.read_json(folder / _RECORD)
        searcher = _read_vectors(folder / _VECTORS)
        with closing(_connect(folder / _ITEMS)) as table:
            rows = table.execute("SELECT count(*) FROM items").fetchone()[0]
        if not searcher.ntotal == rows == record["images"] or searcher.d != record["dim"]:
            found = f"{searcher.ntotal} vectors of {searcher.d} for {rows} items"
            raise ValueError(f"{found}, {record['images']} of {record['dim']} expected")
        return Index(
            folder=folder,
            root=disk.dereference(record["root"], folder),
            model=record["model"],
            model_folder=disk.dereference(record["model_folder"], folder) if record["model_folder"] else None,
            images=record["images"],
            products=record["products"],
            dim=record["dim"],
            kind=record["kind"],
            _faiss=searcher,
        )
    except FileNotFoundError as error:
        raise IndexFileError(f"there is no index in {folder}", hint="dmlcli index CATALOG") from error
    except (ValueError, KeyError, TypeError, RuntimeError, sqlite3.Error, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IndexFileError(f"the index in {folder} is damaged: {reason}", hint="dmlcli index CATALOG") from error


def _read_vectors(file: Path) -> Any:
    import faiss

    try:
        return faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:  # its text quotes C++
        raise ValueError(f"{file.name} cannot be read") from error


def _write_items(file: Path, embeddings: Embeddings) -> None:
    own = list(dict.fromkeys(name for item in embeddings.items for name, _ in item.columns))
    columns = _distinct(own)
    kinds = {name: _kind(embeddings, name) for name in own}
    with closing(sqlite3.connect(file)) as table:
        extra = "".join(f', "{columns[name].replace(chr(34), chr(34) * 2)}" {kinds[name]}' for name in own)
        table.execute(f"CREATE TABLE items (id INTEGER PRIMARY KEY, path TEXT, product TEXT, category TEXT{extra})")
        marks = ", ".join("?" * (len(_FIXED) + len(own)))
        table.executemany(f"INSERT INTO items VALUES ({marks})", _item_rows(embeddings, kinds))
        table.commit()


def _item_rows(embeddings: Embeddings, kinds: dict[str, str]) -> Iterator[list[object]]:
    for row, item in enumerate(embeddings.items):
        values = dict(item.columns)
        # an empty cell of a number column is no number, and must not compare as text
        own = (None if kind != "TEXT" and not values.get(name) else values.get(name) for name, kind in kinds.items())
        texts = [_text(value) if isinstance(value, str) else value for value in own]
        yield [row, _text(item.path), _text(item.product), _text(item.category), *texts]


def _distinct(names: list[str]) -> dict[str, str]:
    """A column name for each of the user's: SQLite ignores case, and four names are taken."""
    taken, columns = set(_FIXED), {}
    for name in names:
        columns[name] = name
        while columns[name].lower() in taken:
            columns[name] += "_"
        taken.add(columns[name].lower())
    return columns


def _kind(embeddings: Embeddings, column: str) -> str:
    """INTEGER or REAL where every value of a column is written as such a number is, else TEXT: 00730 is a code."""
    values = [value for item in embeddings.items for name, value in item.columns if name == column and value]
    if values and all(_INTEGER.fullmatch(value) for value in values):
        return "INTEGER"
    return "REAL" if values and all(_REAL.fullmatch(value) for value in values) else "TEXT"


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def _text(value: str) -> str | bytes:
    """Names that are not UTF-8 go in as the bytes they are."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(value)
    return value


def _name(stored: str | bytes) -> str:
    return os.fsdecode(stored)
