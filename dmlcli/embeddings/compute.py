"""From images to rows: read in threads, embedded in batches, and not at all where the content is known."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from dmlcli import feeding, progress
from dmlcli.arrays import Forward, Pixels, Vectors, View
from dmlcli.catalog import Catalog, Item
from dmlcli.embeddings.rows import Embeddings, FileState
from dmlcli.errors import ImageError
from dmlcli.image import Box, cropped, read_file, status_of
from dmlcli.report.skipped import Skipped

BATCH = 32  # images that go through the model at once
KEEP_EVERY = 30.0  # seconds of work that a killed process may lose


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
    views: str = "",
    known: Sequence[Embeddings] = (),
    label: str = "embedding",
    batch_size: int = BATCH,
    keep: Callable[[Embeddings], object] = lambda _: None,
    keep_all: bool = False,
) -> Computed:
    """Embed the images of a catalogue, except those whose unchanged content is in `known`; one bad image stops nothing.

    Args:
        view: decodes an image file for the model; called in threads (decoders release the GIL).
        forward: batches of views to vectors.
        model: fingerprint of what `view` and `forward` do; `known` embeddings of another one are not used.
        keep: is given what was computed and not kept yet: every now and then, and when this is cut short (Ctrl-C, an
            error), so that it need not be done again.
        keep_all: what is computed last is kept too, though it is returned.
    """
    known = [embeddings for embeddings in known if (embeddings.model, embeddings.views) == (model, views)]
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
    unkept: list[int] = []
    fresh = 0
    kept_at = time.monotonic()

    def flush() -> None:
        nonlocal fresh, kept_at
        if batch:
            vectors = forward(np.stack([pixels for _, _, pixels in batch]))
            rows.update({row: (state, v) for (row, state, _), v in zip(batch, vectors, strict=True)})
            unkept.extend(row for row, _, _ in batch)
            fresh += len(batch)
            batch.clear()
        if unkept and time.monotonic() - kept_at > KEEP_EVERY:
            keep(part(unkept))
            unkept.clear()
            kept_at = time.monotonic()

    def part(order: Sequence[int]) -> Embeddings:
        vectors = np.stack([rows[row][1] for row in order]) if order else np.zeros((0, 0), np.float32)
        items, states = [catalog.items[row] for row in order], [rows[row][0] for row in order]
        return Embeddings(catalog.root, items, states, vectors, model, views)

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
        if unkept:
            keep(part(unkept))
        raise
    if unkept and keep_all:
        keep(part(unkept))
    return Computed(part(sorted(rows)), fresh, skipped)


def _digest(data: bytes, box: Box | None) -> str:
    """What identifies the pixels of an item: the content of its file, and which part of it is meant."""
    known = hashlib.blake2b(data, digest_size=16)
    if box is not None:
        known.update(repr(box).encode())
    return known.hexdigest()
