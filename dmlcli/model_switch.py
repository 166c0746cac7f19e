"""Make a newly trained model the current one, with embeddings and an index made by it."""

import contextlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from dmlcli import indexes, model_history, storage
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Embeddings
from dmlcli.embeddings import save as save_embeddings
from dmlcli.encoder import Encoder
from dmlcli.errors import CannotRun
from dmlcli.model import Model
from dmlcli.report.skipped import Skipped
from dmlcli.workspace import Workspace


@dataclass(frozen=True)
class SwitchResult:
    """What was embedded and indexed, and where the replaced model is kept (None: there was none, or the same)."""

    embeddings: Embeddings | None
    skipped: Sequence[Skipped]
    replaced: Path | None


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

    Queries use the old model and index until then. `models/` keeps the model of the index at all times.

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
    with ExitStack() as locks:
        locks.enter_context(storage.only_writer(target))
        if index:
            locks.enter_context(storage.only_writer(workspace.index))
            locks.enter_context(storage.only_writer(workspace.embeddings))
            model_history.keep(workspace.models, target)  # for the present index, until it is replaced
            known = [*embedded, *workspace.known()]
            computed = Encoder(model).embed_catalog(catalog, known, keep_at=workspace.embeddings)
            embeddings, skipped = computed.embeddings, computed.skipped
            save_embeddings(workspace.embeddings, embeddings)
            indexes.build(workspace.index, embeddings, target)
        replaced = model_history.place(workspace.models, model, target)
    in_use = {model.record.fingerprint}
    with contextlib.suppress(CannotRun):
        in_use.add(indexes.open_index(workspace.index).model)
    model_history.prune(workspace.models, in_use)
    return SwitchResult(embeddings, skipped, replaced)
