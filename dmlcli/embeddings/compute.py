"""Computation of embeddings: images are read in threads and embedded in batches, unless their vectors are known."""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dmlcli import prefetch, progress
from dmlcli.catalog import Catalog, Item
from dmlcli.embeddings.embeddings import Embeddings, FileState
from dmlcli.embeddings.missing_images import SHARE
from dmlcli.errors import CatalogError, ImageError
from dmlcli.image import cropped, is_there, read_file, status_of
from dmlcli.report.skipped import Skipped
from dmlcli.types import Box, Forward, Pixels, Vectors, View

BATCH = 32  # images that go through the model at once
KEEP_EVERY = 30.0  # seconds of work that a killed process may lose
_WATCHED = 200  # images by which it is noticed that a catalog vanishes while it is read


@dataclass(frozen=True)
class Computed:
    """The embeddings, the number of newly computed rows, and the images that cannot be read."""

    embeddings: Embeddings
    fresh: int
    skipped: list[Skipped]


def compute(
    catalog: Catalog,
    view: View,
    forward: Forward,
    model: str,
    *,
    views: str = "",
    known: Sequence[Embeddings] = (),
    label: str = "embedding",
    batch_size: int = BATCH,
    keep: Callable[[Embeddings], object] = lambda _: None,
    keep_all: bool = False,
    trusting: bool = True,
) -> Computed:
    """Embed the images of a catalog, except unchanged ones in `known`; images that cannot be read are skipped.

    Args:
        catalog: what is embedded.
        view: decodes an image file for the model; called in threads (decoders release the GIL).
        forward: batches of views to vectors.
        model: fingerprint of what `view` and `forward` do; `known` embeddings of another one are not used.
        views: what is averaged for each image; `known` embeddings of others are not used.
        known: embeddings that may hold some of the images.
        label: what the progress bar says.
        batch_size: images that go through the model at once.
        keep: is given what was computed and not kept yet: every now and then, and when this is cut short (Ctrl-C, an
            error), so that it need not be done again.
        keep_all: what is computed last is kept too, though it is returned.
        trusting: a file whose size, times and inode are as they were is taken as unchanged; else every file is read,
            and known by its content alone.

    Returns:
        One row for each image that could be read, and the reasons for those that could not.

    Raises:
        CatalogError: the catalog, or a large part of it, went away while it was read.
    """
    known = [embeddings for embeddings in known if (embeddings.model, embeddings.views) == (model, views)]
    read = _reader(catalog, view, known, trusting)
    watch = _Watch(catalog)
    done = _Done(catalog, model, views, forward, keep)
    skipped: list[Skipped] = []
    try:
        with closing(prefetch.in_order(read, catalog.items, ahead=2 * batch_size)) as results:
            for row, result in enumerate(progress.track(results, label, len(catalog.items))):
                try:
                    state, found = result.result()
                except ImageError as error:
                    skipped.append(Skipped(str(catalog.root / catalog.items[row].path), str(error)))
                    continue
                if isinstance(found, _Place):
                    done.put(row, state, found.of.vectors[found.row])
                else:
                    done.wait(row, state, found)
                    if done.waiting == batch_size:
                        done.flush()
        done.flush()
        if skipped:
            watch.check()
    except BaseException:
        done.keep()
        raise
    if keep_all:
        done.keep()
    return Computed(done.all(), done.fresh, skipped)


@dataclass(frozen=True)
class _Place:
    """Where a known vector is."""

    of: Embeddings
    row: int


def _reader(
    catalog: Catalog, view: View, known: Sequence[Embeddings], trusting: bool
) -> Callable[[Item], tuple[FileState, Pixels | _Place]]:
    """Return the function that threads call for each image: its state, and its pixels or known vector."""
    by_digest = {state.digest: _Place(e, row) for e in known for row, state in enumerate(e.states)}
    by_photo = {
        (e.root / item.path, item.box): state
        for e in (known if trusting else ())
        for item, state in zip(e.items, e.states, strict=True)
    }

    def read(item: Item) -> tuple[FileState, Pixels | _Place]:
        path, box = catalog.photo(item)
        status = status_of(path)
        before = by_photo.get((path, box))
        if before is not None and _state(status, before.digest) == before:
            return before, by_digest[before.digest]
        data = read_file(path)
        state = _state(status, _digest(data, box))
        place = by_digest.get(state.digest)
        return state, place or view(data if box is None else cropped(data, box))

    return read


class _Done:
    """The rows that are done, in one matrix that has room for all of them, and the batch that is being filled."""

    def __init__(
        self, catalog: Catalog, model: str, views: str, forward: Forward, keep: Callable[[Embeddings], object]
    ) -> None:
        self._catalog, self._model, self._views = catalog, model, views
        self._forward, self._keep, self._kept_at = forward, keep, time.monotonic()
        self._states: dict[int, FileState] = {}
        self._vectors: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._batch: list[tuple[int, FileState, Pixels]] = []
        self._unkept: list[int] = []
        self.fresh = 0

    @property
    def waiting(self) -> int:
        """How many images are waiting for the model."""
        return len(self._batch)

    def put(self, row: int, state: FileState, vector: NDArray[Any]) -> None:
        """Take in the vector of a row."""
        if not self._states:  # pages that are never written take no memory
            self._vectors = np.empty((len(self._catalog.items), len(vector)), np.float32)
        self._states[row] = state
        self._vectors[row] = vector

    def wait(self, row: int, state: FileState, pixels: Pixels) -> None:
        """Take in an image that the model has not seen."""
        self._batch.append((row, state, pixels))

    def flush(self) -> None:
        """Let the model see what is waiting."""
        if self._batch:
            vectors = self._forward(np.stack([pixels for _, _, pixels in self._batch]))
            for (row, state, _), vector in zip(self._batch, vectors, strict=True):
                self.put(row, state, vector)
                self._unkept.append(row)
            self.fresh += len(self._batch)
            self._batch.clear()
        if self._unkept and time.monotonic() - self._kept_at > KEEP_EVERY:
            self.keep()
            self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Save the vectors that were computed since the last call."""
        if self._unkept:
            self._keep(self._of(self._unkept, self._vectors[self._unkept]))
            self._unkept.clear()

    def all(self) -> Embeddings:
        """Return all embeddings in the order of the catalog; the matrix is not copied."""
        rows = sorted(self._states)
        for place, row in enumerate(rows):
            if place != row:  # some image before it could not be read
                self._vectors[place] = self._vectors[row]
        return self._of(rows, self._vectors[: len(rows)])

    def _of(self, rows: Sequence[int], vectors: Vectors) -> Embeddings:
        items, states = [self._catalog.items[row] for row in rows], [self._states[row] for row in rows]
        return Embeddings(self._catalog.root, items, states, vectors, self._model, self._views)


class _Watch:
    """Detection of a catalog that disappears while it is read."""

    def __init__(self, catalog: Catalog) -> None:
        self._root = catalog.root
        self._is_folder = not "".join(catalog.root.parts[:1]).endswith(":")  # and no URL
        step = -(-len(catalog.items) // _WATCHED) or 1
        watched = (catalog.root / item.path for item in catalog.items[::step])
        self._there: list[Path] = [path for path in watched if is_there(path)]

    def check(self) -> None:
        """Raise CatalogError where the root, or more than a fifth of what was there, is gone."""
        hint = "embeddings computed so far are kept for the next run; nothing else was changed"
        if self._is_folder and not self._root.exists():
            raise CatalogError(f"the catalog {self._root} disappeared while its images were read", hint=hint)
        gone = [path for path in self._there if not is_there(path)]
        if len(gone) > SHARE * len(self._there):
            share = 100 * len(gone) / len(self._there)
            raise CatalogError(
                f"{share:.0f} % of the images of {self._root} disappeared while they were read, first {gone[0]}",
                hint=hint,
            )


def _state(status: os.stat_result, digest: str) -> FileState:
    # inside a tar file there is neither inode nor time of change
    return FileState(status.st_size, status.st_mtime_ns, digest, status.st_ino, status.st_ctime_ns or 0)


def _digest(data: bytes, box: Box | None) -> str:
    """Return a digest of the pixels of an item: the content of its file and its box."""
    known = hashlib.blake2b(data, digest_size=16)
    if box is not None:
        known.update(repr(box).encode())
    return known.hexdigest()
