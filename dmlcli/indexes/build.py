"""Write an index: a new one, or an update of an old one. Atomic: readers see the old index or the new one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmlcli import progress, storage
from dmlcli.embeddings import Embeddings, missing_images
from dmlcli.errors import CannotRun, IndexFileError, MismatchError
from dmlcli.indexes import faiss_kinds, item_table
from dmlcli.indexes.auto_kind import IndexRequirements, draw, fit, in_order, make
from dmlcli.indexes.index import FILES, ITEMS, ROWS, VECTORS, Index, open_index
from dmlcli.indexes.item_table import NO_IDS
from dmlcli.indexes.record import IndexRecord, KindCandidate, SearchCost, write
from dmlcli.storage import checksums
from dmlcli.types import Ids

_ANY = IndexRequirements()
_MANY_DEAD = 0.25  # share of deleted rows from which the index is rebuilt


@dataclass(frozen=True)
class Updated:
    """An index brought up to date, and how many of its rows are new or gone."""

    index: Index
    added: int
    removed: int


@dataclass(frozen=True)
class _Made:
    """An index in memory, and the fields of its record that depend on how it was built."""

    index: Any
    rows: Any
    kind: str
    why: str
    settings: dict[str, int]
    measured: SearchCost | None  # None where it is exact
    target: float
    tried: list[KindCandidate]
    dead: Ids


def build(
    folder: Path, embeddings: Embeddings, model_folder: Path | None, requirements: IndexRequirements = _ANY
) -> Index:
    """Write an index of embeddings in place of the old one, and open it.

    Args:
        folder: of the index.
        embeddings: what is indexed.
        model_folder: the model that made them; None: not known.
        requirements: the kind of index, its recall and memory.

    Raises: IndexFileError where there is nothing to index, CannotRun where nothing keeps the wish.
    """
    _check_something(embeddings)
    ids = np.arange(len(embeddings.items), dtype=np.int64)
    made: _Made | None = None
    for kind, why, trials in in_order(requirements, embeddings.vectors):
        new = _make(kind, why, trials, embeddings, ids, requirements.recall)
        if made is None or made.measured is None or (new.measured and new.measured.recall > made.measured.recall):
            made = new
        if made.measured is None or made.measured.recall >= requirements.recall:
            break
    assert made is not None
    if made.measured is not None and made.measured.recall < requirements.recall:
        said = f"recall@10 is {made.measured.recall:.3f} with {made.kind}, below {requirements.recall}"
        if requirements.kind is None:
            raise CannotRun(f"{said}, and nothing else fits", hint="a larger --max-memory, or a lower --target-recall")
        progress.warn(said)
    _write(folder, made, embeddings, ids, len(ids), model_folder)
    return open_index(folder)


def check_removal(old: Index, embeddings: Embeddings) -> None:
    """Raise CannotRun where an update would remove so much of an index that a disk may be missing."""
    held = [image for image, ids in item_table.ids_by_content(old.table).items() for _ in ids]
    marks = item_table.content_marks(embeddings)
    paths = (item.path for item in embeddings.items)
    missing_images.check(held, zip(paths, marks, strict=True), f"the index in {old.folder}")


def update(folder: Path, embeddings: Embeddings, model_folder: Path | None, *, prune: bool = False) -> Updated:
    """Bring an index up to date with the embeddings: what is new is added, what is gone removed, the rest is kept.

    Args:
        folder: the index.
        embeddings: what it is to hold.
        model_folder: the model that made them; None: not known.
        prune: remove what is gone, however much that is.

    Returns:
        The index, and how many rows are new or gone.

    Raises:
        MismatchError: another model made the index.
        CannotRun: more than a fifth of it, or a whole folder, is gone, and `prune` is not set.
    """
    _check_something(embeddings)
    old = open_index(folder)
    if not prune:
        check_removal(old, embeddings)
    if (old.model, old.dim, old.record.views) != (embeddings.model, embeddings.dim, embeddings.views):
        raise MismatchError(
            f"the index in {folder} was made by another model or of other views than these embeddings",
            hint="without --update it is rebuilt",
        )
    ids, gone = _assign(old, embeddings)
    new = np.flatnonzero(ids >= old.record.next_id)
    # where neither is new or gone, only names and columns may differ
    made = _changed(old, embeddings, ids, new, gone) if len(new) or len(gone) else _as_it_is(old)
    _write(folder, made, embeddings, ids, old.record.next_id + len(new), model_folder)
    return Updated(open_index(folder), len(new), len(gone))


def _check_something(embeddings: Embeddings) -> None:
    if not embeddings.items:
        raise IndexFileError("nothing to index: no image could be embedded")


def _make(kind: str, why: str, trials: list[KindCandidate], embeddings: Embeddings, ids: Ids, target: float) -> _Made:
    index, rows, *_ = make(kind, embeddings.vectors, ids)
    settings, measured = _fitted(index, rows, embeddings, ids, target)
    return _Made(index, rows, kind, why, settings, measured, target, trials, NO_IDS)


def _fitted(
    index: Any, rows: Any, embeddings: Embeddings, ids: Ids, target: float, dead: Ids = NO_IDS
) -> tuple[dict[str, int], SearchCost | None]:
    if faiss_kinds.is_exact(index):
        return {}, None
    return fit(index, rows, draw(embeddings.vectors, ids), target, dead)


def _assign(old: Index, embeddings: Embeddings) -> tuple[Ids, Ids]:
    """The id of each row, a new one where its image or content is new; and the ids whose rows are gone."""
    known = item_table.ids_by_content(old.table)
    number = old.record.next_id  # an id is never used twice, also not the last one's
    ids = np.empty(len(embeddings.items), dtype=np.int64)
    for row, (item, mark) in enumerate(zip(embeddings.items, item_table.content_marks(embeddings), strict=True)):
        same = known.get((item.path, mark))
        if same:
            ids[row] = same.pop()
        else:
            ids[row] = number
            number += 1
    return ids, np.array(sorted(number for left in known.values() for number in left), dtype=np.int64)


def _changed(old: Index, embeddings: Embeddings, ids: Ids, new: Ids, gone: Ids) -> _Made:
    index = faiss_kinds.read(old.folder / VECTORS, mapped=False)
    rows = faiss_kinds.read(old.folder / ROWS, mapped=False) if old.record.rows else None
    target, dead = old.record.target, old.searcher.dead
    if faiss_kinds.can_remove(index):
        for part in (index, rows):
            if part is not None and len(gone):
                faiss_kinds.remove(part, gone)
    else:
        dead = np.union1d(dead, gone)
    if len(dead) > _MANY_DEAD * index.ntotal:
        progress.note(f"{len(dead)} of {index.ntotal} rows are gone, which {old.kind} cannot remove: it is rebuilt")
        return _make(old.kind, old.record.why, [], embeddings, ids, target)
    try:
        for part in (index, rows):
            if part is not None:
                faiss_kinds.add(part, embeddings.vectors[new], ids[new], "adding")
    except RuntimeError:  # a kind that can only be made whole
        progress.note(f"rows cannot be added to {old.kind}: the index is rebuilt")
        return _make(old.kind, old.record.why, [], embeddings, ids, target)
    settings, measured = _fitted(index, rows, embeddings, ids, target, dead)
    if measured is not None and measured.recall < target:
        progress.warn(f"recall@10 is {measured.recall:.3f} by now, below {target}: without --update it is rebuilt")
    return _Made(index, rows, old.kind, old.record.why, settings, measured, target, old.record.tried, dead)


def _as_it_is(old: Index) -> _Made:
    record = old.record
    return _Made(
        index=faiss_kinds.read(old.folder / VECTORS),
        rows=faiss_kinds.read(old.folder / ROWS) if record.rows else None,
        kind=old.kind,
        why=record.why,
        settings=record.settings,
        measured=record.measured,
        target=record.target,
        tried=record.tried,
        dead=old.searcher.dead,
    )


def _write(
    folder: Path, made: _Made, embeddings: Embeddings, ids: Ids, next_id: int, model_folder: Path | None
) -> None:
    with storage.new_folder(folder, FILES) as draft:
        faiss_kinds.write(made.index, draft / VECTORS)
        if made.rows is not None:
            faiss_kinds.write(made.rows, draft / ROWS)
        item_table.write(draft / ITEMS, embeddings, ids)
        files = [VECTORS, ITEMS, *([ROWS] if made.rows is not None else [])]
        record = IndexRecord(
            kind=made.kind,
            why=made.why,
            images=len(ids),
            products=len(set(embeddings.products) - {""}),
            dim=embeddings.dim,
            root=embeddings.root,
            model=embeddings.model,
            model_folder=model_folder,
            views=embeddings.views,
            memory=faiss_kinds.memory(made.index, len(ids)),
            measured=made.measured,
            target=made.target,
            settings=made.settings,
            tried=made.tried,
            rows=made.rows is not None,
            dead=made.dead.tolist(),
            next_id=next_id,
            sums=checksums.sums(draft, files),
        )
        write(draft, record, folder)
        checksums.note(draft, files)
