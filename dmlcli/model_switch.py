"""Make another model the current one, with embeddings and an index made by it.

Queries use the old model and index until the new index is complete; a process that is killed leaves the old index or
the new one, and `models/` keeps the model of either.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dmlcli import cached_features, indexes, model_history, progress, storage
from dmlcli import embeddings as stored
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Embeddings, open_embeddings
from dmlcli.encoder import Encoder
from dmlcli.errors import CannotRun, EmbeddingsError
from dmlcli.indexes import Index, IndexRequirements
from dmlcli.model import Model
from dmlcli.report.skipped import Skipped
from dmlcli.workspace import Workspace

_TIMED, _WORTH_AN_ESTIMATE = 32, 100  # photos that tell how long all take, and the least number of all


@dataclass(frozen=True)
class SwitchResult:
    """What was embedded and indexed, and where the replaced model is kept (None: there was none, or the same)."""

    embeddings: Embeddings | None  # None: the index was not changed
    skipped: Sequence[Skipped]
    replaced: Path | None
    fresh: int = 0  # images that were embedded; the vectors of the others were known
    from_features: int = 0  # images whose vectors the head made of cached features


def switch(
    catalog: Catalog,
    model: Model,
    workspace: Workspace,
    target: Path,
    *,
    embedded: Sequence[Embeddings] = (),
    index: bool = True,
) -> SwitchResult:
    """Embed and index a catalog with a new model, then make it the current one.

    Args:
        catalog: the photos.
        model: the new model, in `models/`.
        workspace: has the index.
        target: the folder of the current model.
        embedded: embeddings of the new model that are known already.
        index: False: neither embed nor index.
    """
    embeddings: Embeddings | None = None
    skipped: Sequence[Skipped] = ()
    fresh = 0
    with _locked(workspace, target, index=index):
        if index:
            known = [*embedded, *workspace.known(workspace.embedded / model.record.fingerprint)]
            computed = Encoder(model).embed_catalog(catalog, known, keep_at=workspace.embeddings)
            embeddings, skipped, fresh = computed.embeddings, computed.skipped, computed.fresh
            _reindex(workspace, embeddings, target, IndexRequirements())
        replaced = model_history.place(workspace.models, model, target)
    prune(workspace, model)
    return SwitchResult(embeddings, skipped, replaced, fresh)


def use(model: Model, workspace: Workspace) -> SwitchResult:
    """Return to a model in `models/`: index the same images with it, then make it the current one.

    Vectors that are not known are made of cached features where the backbone is the one that these are of; photos are
    read only for what is left. The index keeps its kind. It is left alone where it was made by this model already, or
    not from the embeddings in the workspace; then it goes on using the model that made it.

    Args:
        model: in `models/`.
        workspace: has the index.

    Raises:
        CannotRun: an image that must be embedded cannot be read; nothing is changed.
    """
    embeddings, fresh, from_features = None, 0, 0
    with _locked(workspace, workspace.model, index=True):
        there = _index_of(workspace)
        indexed = _indexed(workspace, there)
        if there is not None and indexed is not None and there.model != model.record.fingerprint:
            embeddings, fresh, from_features = _embedded(model, indexed, workspace)
            kind = there.record.kind if there.record.why == "requested" else None
            requirements = IndexRequirements(kind, there.record.target)
            _reindex(workspace, embeddings, workspace.model, requirements)
        replaced = model_history.place(workspace.models, model, workspace.model)
    prune(workspace, model)
    return SwitchResult(embeddings, (), replaced, fresh, from_features)


def prune(workspace: Workspace, *in_use: Model) -> None:
    """Remove the oldest models that are not in use, and embeddings by models that are gone.

    Args:
        workspace: has the models.
        in_use: models that stay, beside the one of the index.
    """
    used = {model.record.fingerprint for model in in_use}
    if (there := _index_of(workspace)) is not None:
        used.add(there.model)
    model_history.prune(workspace.models, used)
    current = _embeddings_in(workspace.embeddings)
    for folder in workspace.embedded.glob("*"):
        if not (workspace.models / folder.name).is_dir() or (current and current.model == folder.name):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(workspace: Workspace, target: Path, *, index: bool) -> Iterator[None]:
    """Hold the locks of the folders that are replaced, and keep the model of the index in `models/`."""
    with ExitStack() as locks:
        locks.enter_context(storage.only_writer(target))
        if index:
            locks.enter_context(storage.only_writer(workspace.index))
            locks.enter_context(storage.only_writer(workspace.embeddings))
            model_history.keep(workspace.models, target)
        yield


def _reindex(workspace: Workspace, embeddings: Embeddings, model: Path, requirements: IndexRequirements) -> None:
    """Replace embeddings and index; the vectors of the model before are kept, so that `use` need not embed again."""
    before = _embeddings_in(workspace.embeddings)
    if before is not None and before.model != embeddings.model and (workspace.models / before.model).is_dir():
        with storage.new_folder(workspace.embedded / before.model, stored.FILES) as draft:
            for file in storage.restore(workspace.embeddings).iterdir():
                storage.link_or_copy(file, draft / file.name)
    stored.save(workspace.embeddings, embeddings)
    indexes.build(workspace.index, embeddings, model, requirements)


def _embedded(model: Model, indexed: Embeddings, workspace: Workspace) -> tuple[Embeddings, int, int]:
    """Return the embeddings of indexed images by another model, how many were computed, and how many from features."""
    fingerprint = model.record.fingerprint
    found = [_embeddings_in(folder) for folder in (workspace.embeddings, workspace.embedded / fingerprint)]
    kept = [one for one in found if one and (one.model, one.views) == (fingerprint, indexed.views)]
    place = {state.digest: (one, row) for one in kept for row, state in enumerate(one.states)}
    lacking = {state.digest for state in indexed.states} - place.keys()
    reason = ""
    if lacking and not indexed.views:
        made, reason = cached_features.embed_cached(model, workspace, lacking)
        place |= {state.digest: (made, row) for row, state in enumerate(made.states)} if made else {}
    from_features = sum(state.digest in lacking and state.digest in place for state in indexed.states)
    rest = [row for row, state in enumerate(indexed.states) if state.digest not in place]
    vectors = np.empty((len(indexed.items), model.record.dim), np.float32)
    for row, state in enumerate(indexed.states):
        if state.digest in place:
            of, known_row = place[state.digest]
            vectors[row] = of.vectors[known_row]
    states = list(indexed.states)
    if rest:
        computed = _embed_rest(model, indexed.take(rest), len(indexed.items), workspace, reason)
        vectors[rest] = computed.vectors
        for row, state in zip(rest, computed.states, strict=True):
            states[row] = state
    return replace(indexed, states=states, vectors=vectors, model=fingerprint), len(rest), from_features


def _embed_rest(model: Model, rest: Embeddings, count: int, workspace: Workspace, reason: str) -> Embeddings:
    """Embed those of `count` indexed images whose vectors are not known; raises CannotRun if one cannot be read.

    Args:
        model: that embeds.
        rest: the images, with vectors by another model.
        count: of all indexed images.
        workspace: keeps what is computed until an interruption.
        reason: why cached features are not used.
    """
    encoder, failures = Encoder(model, rest.views, device="auto"), ""
    try:
        few = _first(encoder, rest, reason)
        computed = encoder.embed_catalog(Catalog(rest.root, rest.items), few, keep_at=workspace.embeddings)
        if not computed.skipped:
            return computed.embeddings
        first = computed.skipped[0]
        failures = (
            f"{len(computed.skipped)} of {count} indexed images cannot be read, first {first.path}: {first.reason}"
        )
    except EmbeddingsError as error:
        failures = f"{len(rest.items)} of {count} indexed images cannot be read: {error}"
    raise CannotRun(
        f"{failures}; the model was not changed",
        hint=f"restore them, or index what is left: dmlcli index CATALOG --model {model.folder}",
    )


def _first(encoder: Encoder, rest: Embeddings, reason: str) -> list[Embeddings]:
    """Embed a few of many photos, and say how long all of them take; return what was embedded."""
    if len(rest.items) < _WORTH_AN_ESTIMATE:
        return []
    started = time.monotonic()
    few = encoder.embed_catalog(Catalog(rest.root, rest.items[:_TIMED]), []).embeddings
    seconds = (time.monotonic() - started) / _TIMED * len(rest.items)
    why = f", because {reason}" if reason else ""
    duration = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    progress.note(f"{len(rest.items)} photos must be embedded again{why}: about {duration}")
    return [few]


def _indexed(workspace: Workspace, there: Index | None) -> Embeddings | None:
    """Return the embeddings of the workspace if the index holds their images, else None."""
    found = _embeddings_in(workspace.embeddings)
    if found is None or there is None or (found.root, found.views) != (there.root, there.record.views):
        return None
    held = sorted(row.image for row in there.rows())
    return found if held == sorted(found.root / item.path for item in found.items) else None


def _index_of(workspace: Workspace) -> Index | None:
    with contextlib.suppress(CannotRun):
        return indexes.open_index(workspace.index)
    return None


def _embeddings_in(folder: Path) -> Embeddings | None:
    with contextlib.suppress(EmbeddingsError):
        return open_embeddings(folder)
    return None
