"""dmlcli index: a catalogue or its embeddings in, a searchable index out."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options
from dmlcli.errors import UsageError
from dmlcli.report import IndexReport, Skipped

if TYPE_CHECKING:
    from dmlcli.catalog import Columns
    from dmlcli.embeddings import Embeddings
    from dmlcli.indexes import Wish
    from dmlcli.model import Model
    from dmlcli.workspace import Workspace

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def index(
    catalog: options.CatalogOrEmbeddings = None,
    *,
    update: options.Update = False,
    auto: options.Auto = False,
    target_recall: options.TargetRecall = None,
    max_memory: options.MaxMemory = None,
    factory: options.Factory = None,
    average: options.Average = None,
    model: options.ModelPath = None,
    output: options.IndexOut = None,
    workspace: options.WorkspacePath = None,
    split: options.Split = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    root: options.Root = None,
) -> IndexReport:
    """Index a catalogue for dmlcli query; without a trained model, the pretrained backbone is searched with.

    Given embeddings (or nothing: those of the workspace), only the index is made.

    Examples:

        dmlcli index ./catalog

        dmlcli index ./catalog --update

        dmlcli index photos.npz --auto --target-recall 0.98 --max-memory 4G -o photos.index
    """
    from dmlcli import disk, embeddings, indexes
    from dmlcli.catalog import Columns
    from dmlcli.workspace import make, need

    wish = _wish(auto, target_recall, max_memory, factory, update)
    if output is not None:
        disk.check_replaceable(Path(output), indexes.FILES)
    path = Path(catalog) if catalog else None
    if path is None:
        path = need(workspace).embeddings
    place = make(workspace)
    target = Path(output or place.index)
    skipped: tuple[Skipped, ...] = ()
    with disk.only_writer(target):
        there = indexes.open_index(target) if update and disk.restore(target).exists() else None
        if embeddings.is_embeddings(path) or catalog is None:
            vectors, made_by = _given(path, split, model, place)
        else:
            columns = Columns(image_column, product_column, category_column, split_column, source_column)
            views = there.views if there else average or ""
            vectors, made_by, skipped = _embedded(path, columns, root, split, views, model, place)
        folder = made_by.folder if made_by else None
        if there is not None:
            changed = indexes.update(target, vectors, folder)
            built, added, removed = changed.index, changed.added, changed.removed
        else:
            built = indexes.build(target, vectors, folder, wish)
            added, removed = built.images, 0
    measured = built.record["measured"] or {"recall": 1.0, "microseconds": None}
    return IndexReport(
        output=str(built.folder),
        images=built.images,
        products=built.products,
        dim=built.dim,
        kind=built.kind,
        model=str(folder) if folder else None,
        recall=measured["recall"],
        microseconds=measured["microseconds"],
        memory=built.record["memory"],
        why=built.record["why"],
        added=added,
        removed=removed,
        skipped=skipped,
    )


def _wish(auto: bool, recall: float | None, memory: str | None, factory: str | None, update: bool) -> "Wish":
    """What kind of index is asked for; raises UsageError where the options do not go together."""
    from dmlcli.indexes import TARGET, Wish

    if update and (auto or factory or memory or recall):
        raise UsageError(
            "--update keeps the kind of the index as it is", hint="without --update it is made anew, as you wish"
        )
    if factory and (auto or memory):
        raise UsageError(
            f"--factory {factory} says which kind, {'--auto' if auto else '--max-memory'} that it be chosen",
            hint="leave one of them out",
        )
    bytes = None if memory is None else _bytes(memory)
    return Wish(factory, recall or TARGET, bytes, chosen=auto or recall is not None or memory is not None)


def _bytes(text: str) -> int:
    """How many bytes 4G, 500M or 1.5GB are."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if not found or not float(found[1]):
        raise UsageError(f"'{text}' is no size", hint="--max-memory 500M, or 4G")
    return int(float(found[1]) * _UNITS[found[2]])


def _given(path: Path, split: str | None, model: Path | None, place: "Workspace") -> "tuple[Embeddings, Model | None]":
    """Embeddings as they are, and the model that made them, if that is known."""
    from dmlcli import embeddings
    from dmlcli.model import open_matching

    vectors = embeddings.open_embeddings(path).only(split)
    return vectors, open_matching(model or place.model, vectors.model) if vectors.model or model else None


def _embedded(
    path: Path,
    columns: "Columns",
    root: Path | None,
    split: str | None,
    views: str,
    model: Path | None,
    place: "Workspace",
) -> "tuple[Embeddings, Model, tuple[Skipped, ...]]":
    """The embeddings of a catalogue, made where they are not known, and kept in the workspace."""
    from dmlcli import disk, embeddings
    from dmlcli.catalog import open_catalog
    from dmlcli.encoder import Encoder, find_or_make_model

    photos = open_catalog(path, columns, root).only(split)
    made_by = find_or_make_model(model, place, photos)
    with disk.only_writer(place.embeddings):
        computed = Encoder(made_by, views).embed_catalog(photos, place.known(), keep_at=place.embeddings)
        embeddings.save(place.embeddings, computed.embeddings)
    return computed.embeddings, made_by, (*photos.skipped, *computed.skipped)
