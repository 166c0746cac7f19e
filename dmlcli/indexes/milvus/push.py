"""Embeddings into a collection: what is new or changed is written, what is gone removed, and the rest left alone.

Every push does the same, the first, the next and the one after an interruption: it compares the marks of the rows that
are there with those that should be, and writes the difference. Ids are those that an index folder would have: by row
when it is rebuilt, by content when it is updated.
"""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from dmlcli import progress
from dmlcli.embeddings import Embeddings, missing_images
from dmlcli.errors import CannotRun, IndexFileError, MismatchError
from dmlcli.indexes.auto_kind import AUTO_FROM, TARGET
from dmlcli.indexes.milvus import entities, index_params, parity
from dmlcli.indexes.milvus.address import Address
from dmlcli.indexes.milvus.collection import Collection, read_record
from dmlcli.indexes.milvus.entities import Record, Rows
from dmlcli.indexes.milvus.server import Server
from dmlcli.types import Ids

_BYTES = 1 << 23  # written at once
_AT_ONCE = 4096  # rows written at once, at most


@dataclass(frozen=True)
class Pushed:
    """A collection brought up to date, what that took, and how its hits compare with those of exact search."""

    collection: Collection
    added: int
    removed: int
    changed: int  # rows written over, because what is said of the image has changed
    parity: parity.Parity
    why: str


@dataclass(frozen=True)
class _There:
    """The rows of a collection: ids ascending, and their marks."""

    ids: Ids
    content: Ids
    state: Ids


def connect(address: Address, update: bool) -> tuple[Server, Record | None]:
    """Return the server, and the record of the collection if it exists; raise CannotRun if no server answers."""
    server = Server(address, make=True)
    if not server.is_there():
        if update:
            progress.note(f"collection {address} does not exist yet and is created")
        return server, None
    server.load()
    return server, read_record(server)


def push(
    server: Server,
    there: Record | None,
    embeddings: Embeddings,
    model_folder: Path | None,
    *,
    kind: str | None = None,
    update: bool = False,
    replacing: bool = False,
    prune: bool = False,
) -> Pushed:
    """Make the collection hold these embeddings and nothing else.

    Args:
        server: the collection's server, from `connect`.
        there: the record of the collection as it is, from `connect`.
        embeddings: what the collection is to hold.
        model_folder: the model that made them; None: not known.
        kind: Milvus's name of a kind of index; None: exact below 100,000 images, else as Milvus chooses.
        update: keep the ids of images that are there already.
        replacing: drop a collection that holds vectors of another model.
        prune: let an update remove what is gone, however much that is.

    Returns:
        The collection, what was written, and how its hits compare with exact search.

    Raises:
        MismatchError: the collection is another model's.
        CannotRun: the server fails or is full (what was written by then is found there by the next push), or an update
            would remove more than a fifth of the images or a whole folder, and `prune` is not set.
    """
    if not embeddings.items:
        raise IndexFileError("nothing to push: no image could be embedded")
    content = entities.contents(embeddings)
    made = Rows(embeddings, content)
    record = Record(
        model=embeddings.model,
        model_folder=str(model_folder.resolve()) if model_folder else "",
        views=embeddings.views,
        root=str(embeddings.root.resolve()),
        dim=embeddings.dim,
        kind=index_params.check(kind) if kind else index_params.fitting(len(content)),
        columns=made.columns,
        next_id=0,
        whole=False,
        pushed=datetime.now(UTC).isoformat(),
    )
    if there is not None:
        if update and kind is None:
            record = replace(record, kind=there.kind)
        there = _fitting(server, there, record, update, replacing)
    elif server.is_there():  # a first push that was stopped as it began
        server.drop()
    if there is None:
        server.create(record.dim, record.columns, record.kind)
        server.load()
    before = _marks(server)
    next_id = max(there.next_id if there else 0, int(before.ids.max(initial=-1)) + 1)
    ids, next_id = _assigned(content, before, next_id) if update else (np.arange(len(content)), len(content))
    new, changed, gone = _difference(before, ids, made.states)
    if update and not prune and len(gone):
        _check_removal(server, embeddings)
    _write(server, replace(record, next_id=there.next_id if there else 0))
    _fill(server, made, ids, np.sort(np.concatenate([new, changed])))
    server.delete(gone)
    server.flush()
    server.load()
    record = replace(record, next_id=next_id, whole=True)
    collection = Collection(server, record, server.count())
    found = _checked(collection, embeddings, ids)
    _write(server, record)
    return Pushed(collection, len(new), len(gone), len(changed), found, _why(record.kind, asked=kind is not None))


def _why(kind: str, asked: bool) -> str:
    if asked:
        return "requested"
    return f"exact search is quick below {AUTO_FROM:,} images" if kind == index_params.EXACT else "as Milvus chooses"


def _fitting(server: Server, there: Record, wanted: Record, update: bool, replacing: bool) -> Record | None:
    """The record of the collection where it can hold what is wanted; None where it was dropped because it cannot."""
    another = (there.model, there.views, there.dim) != (wanted.model, wanted.views, wanted.dim)
    if another and not replacing:
        raise MismatchError(
            f"{server.address} holds vectors of another model ({there.model or 'unknown'}, {there.dim} dimensions)",
            hint="name another collection with --to, or --replace drops what is there",
        )
    if not another and (there.columns, there.kind) == (wanted.columns, wanted.kind):
        return there
    if update and not another:
        what = "columns" if there.columns != wanted.columns else "kind of index"
        raise MismatchError(f"{server.address} has another {what}", hint="without --update it is rebuilt")
    server.drop()
    return None


def _check_removal(server: Server, embeddings: Embeddings) -> None:
    """Raise CannotRun where so much would be removed that a disk may be missing; a moved image counts as removed."""
    held = [(entities.name(row["path"]), "") for page in server.every(["path"]) for row in page]
    missing_images.check(held, ((item.path, item.path) for item in embeddings.items), f"{server.address}")


def _marks(server: Server) -> _There:
    """The marks of all rows that are there."""
    pages = [
        np.array([(row["id"], *(row[name] for name in entities.MARKS)) for row in page], dtype=np.int64)
        for page in server.every(entities.MARKS)
    ]
    found = np.concatenate(pages) if pages else np.zeros((0, 3), np.int64)
    found = found[np.argsort(found[:, 0])]
    return _There(found[:, 0], found[:, 1], found[:, 2])


def _assigned(content: Ids, there: _There, next_id: int) -> tuple[Ids, int]:
    """The id of each row, a new one where its image or content is new; and the next that is free."""
    known: dict[int, list[int]] = defaultdict(list)
    for number, mark in zip(there.ids[::-1].tolist(), there.content[::-1].tolist(), strict=True):
        known[mark].append(number)
    ids = np.empty(len(content), np.int64)
    for row, mark in enumerate(content.tolist()):
        if known[mark]:
            ids[row] = known[mark].pop()
        else:
            ids[row] = next_id
            next_id += 1
    return ids, next_id


def _difference(there: _There, ids: Ids, states: Ids) -> tuple[Ids, Ids, Ids]:
    """Rows to write because they are new, and because they have changed; ids to remove."""
    place = np.searchsorted(there.ids, ids).clip(max=max(len(there.ids) - 1, 0))
    known = there.ids[place] == ids if len(there.ids) else np.zeros(len(ids), np.bool_)
    same = known & (there.state[place] == states) if len(there.ids) else known
    return np.flatnonzero(~known), np.flatnonzero(known & ~same), np.setdiff1d(there.ids, ids)


def _fill(server: Server, made: Rows, ids: Ids, written: Ids) -> None:
    """Write rows, in the order of their ids, so that a push that was stopped left the first of them."""
    written = written[np.argsort(ids[written], kind="stable")]
    batch: list[dict[str, Any]] = []
    size = 0
    for row in progress.track(made.at(written.tolist(), ids), "pushing", len(written)):
        batch.append(row)
        size += row["vector"].nbytes + sum(len(value) for value in row.values() if isinstance(value, str))
        if size >= _BYTES or len(batch) == _AT_ONCE:
            server.upsert(batch)
            batch, size = [], 0
    if batch:
        server.upsert(batch)


def _write(server: Server, record: Record) -> None:
    server.note(entities.RECORD, record.as_text())


def _checked(collection: Collection, embeddings: Embeddings, ids: Ids) -> parity.Parity:
    """Hold the hits of the collection against exact search of the vectors that were pushed.

    Raises:
        CannotRun: rows are missing.
    """
    if collection.images != len(ids):
        raise CannotRun(
            f"{collection.place} has {collection.images} images where {len(ids)} were pushed",
            hint="is somebody else pushing into it? push again",
        )
    found = parity.measure(collection, embeddings.vectors, ids)
    if found.share < (1 if collection.record.kind == index_params.EXACT else TARGET):
        missing = 100 * (1 - found.share)
        progress.warn(f"{missing:.1f} % of the ten nearest by exact search are not found in {collection.place}")
    return found
