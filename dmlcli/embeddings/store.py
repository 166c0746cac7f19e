"""The embeddings folder on disk, and the shards of an unfinished one.

While images are embedded, what is done goes every now and then into a shard, an embeddings folder of its own inside
`.<name>.partial`; a run that was killed is taken up from there, and finishing removes it.
"""

import csv
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dmlcli import dist_env, storage
from dmlcli.catalog import Item
from dmlcli.embeddings.embeddings import Embeddings, FileState
from dmlcli.errors import EmbeddingsError
from dmlcli.storage import records
from dmlcli.types import Box, Vectors

SCHEMA = 1
# how reading a damaged file can fail, through JSON, CSV, npy and zip
DAMAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, OSError, csv.Error, BadZipFile)
RECORD, _VECTORS, _ITEMS = "embeddings.json", "vectors.npy", "items.csv"
FILES = (RECORD, _VECTORS, _ITEMS)  # of the folder
_EARLIER = ["path", "product", "category", "split", "source", "size", "mtime_ns", "digest", "box"]
_FIXED = [*_EARLIER, "inode", "ctime_ns"]
_FIELDS = {
    "model": records.TEXT,
    "views": records.one_of("", "flip", "crops", "object"),
    "root": records.REFERENCE,
    "images": records.whole(),
    "dim": records.whole(0, 1 << 20),
    "dtype": records.one_of("float32", "float16"),
}
_BLOCK = 1 << 16  # rows that are written at once
DType = Literal["float32", "float16"]


def save(folder: Path, embeddings: Embeddings, dtype: DType = "float32") -> None:
    """Write embeddings atomically as a folder, replacing an existing one.

    Args:
        folder: the target.
        embeddings: at least one row.
        dtype: of the stored vectors.

    Raises:
        EmbeddingsError: no rows; the existing folder is kept.
        CannotWrite: the folder cannot be written.
    """
    check_some(folder, embeddings)
    own = list(dict.fromkeys(name for item in embeddings.items for name, _ in item.columns))
    with storage.new_folder(folder, FILES) as draft:
        write_vectors(draft / _VECTORS, embeddings.vectors, dtype)
        with (draft / _ITEMS).open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(_FIXED + own)
            for item, state in zip(embeddings.items, embeddings.states, strict=True):
                columns = dict(item.columns)
                own_cells = (columns.get(name, "") for name in own)
                table.writerow([*item[:5], *state[:3], box_cell(item.box), *state[3:], *own_cells])
        storage.write_json(
            draft / RECORD,
            {
                "schema": SCHEMA,
                "model": embeddings.model,
                "views": embeddings.views,
                "root": storage.reference(embeddings.root, folder),
                "images": len(embeddings.items),
                "dim": embeddings.dim,
                "dtype": dtype,
            },
        )
    clear_shards(folder)


def write_vectors(file: Path, vectors: Vectors, dtype: DType) -> None:
    """Write a matrix as .npy in blocks, so that no second copy is needed in memory.

    Args:
        file: the .npy file.
        vectors: (N, D).
        dtype: of the stored vectors.
    """
    with storage.npy_rows(file, dtype, vectors.shape) as append:
        for start in range(0, len(vectors), _BLOCK):
            append(vectors[start : start + _BLOCK])


def check_some(target: Path, embeddings: Embeddings) -> None:
    """Raise EmbeddingsError for empty embeddings, so that they do not replace existing ones."""
    if not embeddings.items:
        raise EmbeddingsError(f"cannot write {target}: no image could be embedded")


def open_folder(folder: Path) -> Embeddings:
    """Read an embeddings folder; raises FileNotFoundError where there is none, one of DAMAGE where it is damaged."""
    return storage.settled(folder, _open)


def _open(folder: Path) -> Embeddings:
    record = records.read(folder / RECORD, SCHEMA, _FIELDS)
    for name in (_VECTORS, _ITEMS):
        if (folder / name).exists() and not (folder / name).is_file():
            raise ValueError(f"{name} is not a regular file")  # a pipe would wait for a writer
    vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
    items, states = [], []
    with (folder / _ITEMS).open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        table = csv.reader(stream)
        header = next(table, [])
        fixed = len(_FIXED) if header[: len(_FIXED)] == _FIXED else len(_EARLIER)
        for row in table:
            path, product, category, split, source = row[:5]
            columns = tuple(zip(header[fixed:], row[fixed:], strict=True))
            items.append(Item(path, product, category, split, source, columns, box_of(row[8])))
            states.append(FileState(int(row[5]), int(row[6]), row[7], *map(int, row[len(_EARLIER) : fixed])))
    if not len(vectors) == len(items) == record["images"]:
        raise ValueError(f"{len(vectors)} vectors for {len(items)} items, {record['images']} expected")
    if vectors.ndim != 2 or vectors.shape[1] != record["dim"] or vectors.dtype not in (np.float32, np.float16):
        raise ValueError(f"vectors of {vectors.shape} and {vectors.dtype}, {record['dim']} numbers each expected")
    root = storage.dereference(record["root"], folder)
    return Embeddings(root, items, states, _float32(vectors), record["model"], record["views"])


def box_cell(box: Box | None) -> str:
    """Return a box as one cell of a table, empty for none."""
    return "" if box is None else " ".join(map(repr, box))


def box_of(cell: str) -> Box | None:
    """Return the box that `box_cell` wrote."""
    if not cell:
        return None
    left, top, right, bottom = map(float, cell.split())
    return left, top, right, bottom


def _float32(vectors: NDArray[Any]) -> Vectors:
    """Return rows as they are worked with: float32 stays on disk, float16 is widened and of unit length again."""
    if vectors.dtype == np.float32:
        return vectors
    wide = vectors.astype(np.float32)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def save_shard(folder: Path, embeddings: Embeddings) -> None:
    """Keep a part of what will once be saved at `folder`; several processes may do so at a time."""
    parts = _shards(folder)
    save(parts / f"{len(list(parts.glob('[0-9]*'))):06}-{dist_env.rank()}", embeddings)


def mark_done(folder: Path, rank: int) -> None:
    """Record that process `rank` has saved its whole part for `folder`."""
    storage.write_text(_done(folder, rank), "")


def is_done(folder: Path, rank: int) -> bool:
    """Return whether the part is recorded as complete, by a process of the same launch."""
    return _done(folder, rank).exists()


def _done(folder: Path, rank: int) -> Path:
    launch = hashlib.blake2b(dist_env.launch_id().encode(), digest_size=8).hexdigest()
    return _shards(folder) / f"done-{launch}-{rank}"


def open_shards(folder: Path) -> Iterator[Embeddings]:
    """Yield the parts that were kept of an unfinished folder; a damaged one is simply computed again."""
    for part in sorted(_shards(folder).glob("[0-9]*")):
        try:
            yield open_folder(part)
        except DAMAGE:
            continue


def clear_shards(folder: Path) -> None:
    """Remove what was kept for a folder that is finished."""
    shutil.rmtree(_shards(folder), ignore_errors=True)


def _shards(folder: Path) -> Path:
    return storage.beside(storage.followed(folder), ".partial")
