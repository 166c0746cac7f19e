"""The noun Embeddings: a memory-mapped matrix (N, D) of unit vectors and the table of what each row shows."""

import csv
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from dmlcli import disk, feeding, progress
from dmlcli.catalog import Catalog, Item
from dmlcli.errors import EmbeddingsError, ImageError
from dmlcli.image import Box, Pixels, cropped, read_file, status_of
from dmlcli.report import Skipped

SCHEMA = 1
# how reading a damaged file can fail, through JSON, CSV, npy and zip
_DAMAGE = (ValueError, KeyError, TypeError, IndexError, AttributeError, EOFError, OSError, csv.Error, BadZipFile)
_RECORD, _VECTORS, _ITEMS = "embeddings.json", "vectors.npy", "items.csv"
FILES = (_RECORD, _VECTORS, _ITEMS)
_FIXED = ["path", "product", "category", "split", "source", "size", "mtime_ns", "digest", "box"]
Vectors = NDArray[np.float32]
View = Callable[[bytes], Pixels]  # the bytes of an image file to (3, H, W)
Forward = Callable[[Pixels], Vectors]  # (B, 3, H, W) to (B, D)


class FileState(NamedTuple):
    """What tells whether a file has changed: its size in bytes, time of change, and a hash of its content."""

    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class Embeddings:
    """Row i of `vectors` is the embedding of `items[i]`; `model` is the fingerprint of what made them."""

    root: Path
    items: list[Item]
    states: list[FileState]
    vectors: Vectors
    model: str

    @property
    def products(self) -> list[str]:
        """The product of each row."""
        return [item.product for item in self.items]

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def only(self, split: str | None) -> "Embeddings":
        """The rows of one split, all for None."""
        if split is None:
            return self
        rows = [row for row, item in enumerate(self.items) if item.split == split]
        if not rows:
            raise EmbeddingsError(
                f"no row of the embeddings has split '{split}'", hint="embed the catalogue with --split-column"
            )
        return self.take(rows)

    def take(self, rows: Sequence[int]) -> "Embeddings":
        """The given rows."""
        items, states = [self.items[row] for row in rows], [self.states[row] for row in rows]
        return Embeddings(self.root, items, states, self.vectors[np.asarray(rows, dtype=np.int64)], self.model)


@dataclass(frozen=True)
class Computed:
    """What `compute` made: the embeddings, how many rows were not known before, and what could not be read."""

    embeddings: Embeddings
    fresh: int
    skipped: list[Skipped]


def compute(
    catalog: Catalog,
    view: View,
    forward: Forward,
    model: str,
    *,
    known: Sequence[Embeddings] = (),
    label: str = "embedding",
    batch_size: int = 32,
    keep: Callable[[Embeddings], object] = lambda _: None,
) -> Computed:
    """Embed the images of a catalogue, except those whose unchanged content is in `known`; one bad image stops nothing.

    Args:
        view: decodes an image file for the model; called in threads (decoders release the GIL).
        forward: batches of views to vectors.
        model: fingerprint of what `view` and `forward` do; `known` embeddings of another one are not used.
        keep: is given what was done when this is cut short (Ctrl-C, an error), so that it need not be done again.
    """
    known = [embeddings for embeddings in known if embeddings.model == model]
    by_digest = {state.digest: (e, row) for e in known for row, state in enumerate(e.states)}
    by_photo = {
        (e.root / item.path, item.box): state for e in known for item, state in zip(e.items, e.states, strict=True)
    }

    def read(item: Item) -> tuple[FileState, Pixels | None]:
        path, box = catalog.photo(item)
        status = status_of(path)
        before = by_photo.get((path, box))
        if before is not None and (before.size, before.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return before, None
        data = read_file(path)
        state = FileState(status.st_size, status.st_mtime_ns, _digest(data, box))
        if state.digest in by_digest:
            return state, None
        return state, view(data if box is None else cropped(data, box))

    rows: dict[int, tuple[FileState, Vectors]] = {}
    skipped: list[Skipped] = []
    batch: list[tuple[int, FileState, Pixels]] = []
    fresh = 0

    def flush() -> None:
        nonlocal fresh
        if batch:
            vectors = forward(np.stack([pixels for _, _, pixels in batch]))
            rows.update({row: (state, v) for (row, state, _), v in zip(batch, vectors, strict=True)})
            fresh += len(batch)
            batch.clear()

    def done() -> Embeddings:
        order = sorted(rows)
        vectors = np.stack([rows[row][1] for row in order]) if order else np.zeros((0, 0), np.float32)
        return Embeddings(catalog.root, [catalog.items[r] for r in order], [rows[r][0] for r in order], vectors, model)

    try:
        with closing(feeding.in_order(read, catalog.items, ahead=2 * batch_size)) as results:
            for row, result in enumerate(progress.track(results, label, len(catalog.items))):
                try:
                    state, pixels = result.result()
                except ImageError as error:
                    skipped.append(Skipped(str(catalog.root / catalog.items[row].path), str(error)))
                    continue
                if pixels is None:
                    embeddings, place = by_digest[state.digest]
                    rows[row] = state, embeddings.vectors[place]
                else:
                    batch.append((row, state, pixels))
                    if len(batch) == batch_size:
                        flush()
        flush()
    except BaseException:
        if fresh:
            keep(done())
        raise
    return Computed(done(), fresh, skipped)


def save(folder: Path, embeddings: Embeddings) -> None:
    """Write embeddings as a folder, whole, replacing what was there."""
    own = list(dict.fromkeys(name for item in embeddings.items for name, _ in item.columns))
    with disk.new_folder(folder, FILES) as draft:
        np.save(draft / _VECTORS, np.asarray(embeddings.vectors, dtype=np.float32), allow_pickle=False)
        with (draft / _ITEMS).open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(_FIXED + own)
            for item, state in zip(embeddings.items, embeddings.states, strict=True):
                columns = dict(item.columns)
                table.writerow([*item[:5], *state, _box_cell(item.box), *(columns.get(name, "") for name in own)])
        disk.write_json(
            draft / _RECORD,
            {
                "schema": SCHEMA,
                "model": embeddings.model,
                "root": disk.reference(embeddings.root, folder),
                "images": len(embeddings.items),
                "dim": embeddings.dim,
            },
        )


def _digest(data: bytes, box: Box | None) -> str:
    """What identifies the pixels of an item: the content of its file, and which part of it is meant."""
    known = hashlib.blake2b(data, digest_size=16)
    if box is not None:
        known.update(repr(box).encode())
    return known.hexdigest()


def save_npz(file: Path, embeddings: Embeddings) -> None:
    """Write embeddings as one .npz file: embeddings (N, D), labels (N,), paths (N,)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.stem}.{os.getpid()}.tmp.npz")
    paths = [str(embeddings.root / item.path) for item in embeddings.items]
    np.savez(draft, embeddings=embeddings.vectors, labels=np.array(embeddings.products), paths=np.array(paths))
    draft.replace(file)


def open_embeddings(path: Path) -> Embeddings:
    """Open an embeddings folder or .npz file; raises EmbeddingsError where there is none or it is damaged."""
    path = disk.restore(Path(path))
    try:
        return _open_npz(path) if path.is_file() else _open_folder(path)
    except FileNotFoundError as error:
        raise EmbeddingsError(f"there are no embeddings in {path}", hint="dmlcli embed CATALOG") from error
    except _DAMAGE as error:
        raise EmbeddingsError(f"the embeddings in {path} are damaged: {error}", hint="dmlcli embed CATALOG") from error


def is_embeddings(path: Path) -> bool:
    """Whether a path given on the command line means embeddings (and not a catalogue)."""
    path = Path(path)
    return path.suffix == ".npz" or (path / _RECORD).exists()


def _open_folder(folder: Path) -> Embeddings:
    record = disk.read_json(folder / _RECORD)
    vectors = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
    items, states = [], []
    with (folder / _ITEMS).open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
        table = csv.reader(stream)
        header = next(table, [])
        if header[: len(_FIXED)] != _FIXED:
            raise ValueError(f"{_ITEMS} was written by another version of dmlcli")
        for row in table:
            columns = tuple(zip(header[len(_FIXED) :], row[len(_FIXED) :], strict=True))
            path, product, category, split, source = row[:5]
            items.append(Item(path, product, category, split, source, columns, _box_of(row[8])))
            states.append(FileState(int(row[5]), int(row[6]), row[7]))
    if not len(vectors) == len(items) == record["images"]:
        raise ValueError(f"{len(vectors)} vectors for {len(items)} items, {record['images']} expected")
    return Embeddings(disk.dereference(record["root"], folder), items, states, vectors, record["model"])


def _box_cell(box: Box | None) -> str:
    return "" if box is None else " ".join(map(repr, box))


def _box_of(cell: str) -> Box | None:
    if not cell:
        return None
    left, top, right, bottom = map(float, cell.split())
    return left, top, right, bottom


def _open_npz(file: Path) -> Embeddings:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        vectors = np.asarray(arrays["embeddings"])
        count = len(vectors)
        labels = [str(label) for label in arrays["labels"]] if "labels" in arrays else [""] * count
        paths = [str(path) for path in arrays["paths"]] if "paths" in arrays else [f"row {row}" for row in range(count)]
    if vectors.dtype.kind not in "fiu":
        raise ValueError(f"embeddings of {vectors.dtype} are no real numbers")
    if vectors.ndim != 2 or not vectors.shape[1] or not len(vectors) == len(labels) == len(paths):
        raise ValueError(f"embeddings {vectors.shape}, {len(labels)} labels and {len(paths)} paths do not go together")
    if not np.isfinite(vectors).all():
        raise ValueError("there are values that are not finite")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not lengths.all():
        progress.warn(f"{(lengths == 0).sum()} embeddings of {file} are zero and are close to nothing")
    vectors = np.asarray(vectors / np.where(lengths == 0, 1, lengths), dtype=np.float32)
    items = [Item(path, label) for path, label in zip(paths, labels, strict=True)]
    return Embeddings(Path(), items, [FileState(0, 0, "")] * count, vectors, "")
