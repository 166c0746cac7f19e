"""dmlcli index: build, update or push an index from a catalog or its embeddings."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.arguments import names
from dmlcli.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog
    from dmlcli.embeddings import Embeddings
    from dmlcli.encoder import EncoderOptions
    from dmlcli.indexes import Index, IndexRequirements
    from dmlcli.model import Model
    from dmlcli.report.index import IndexReport
    from dmlcli.report.skipped import Skipped
    from dmlcli.workspace import Workspace

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def index(
    catalog: options.CatalogsOrEmbeddings = None,
    *,
    update: options.Update = False,
    prune: options.Prune = False,
    auto: options.Auto = False,
    target_recall: options.TargetRecall = None,
    max_memory: options.MaxMemory = None,
    factory: options.Factory = None,
    average: options.Average = None,
    crop: options.CropObjects = None,
    to: options.To = None,
    replace: options.Replace = False,
    model: options.ModelPath = None,
    backbone: options.PretrainedBackbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    device: options.Device = "auto",
    provider: options.Provider = None,
    output: options.IndexOut = None,
    workspace: options.WorkspacePath = None,
    split: options.Split = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    box_column: options.BoxColumn = None,
    root: options.Root = None,
    merge_products: options.MergeProducts = False,
    strict: options.Strict = False,
) -> "IndexReport":
    """Index a catalog for dmlcli query; without a trained model, use the pretrained backbone.

    Given embeddings (or nothing: those of the workspace), only the index is made.

    Examples:

        dmlcli index ./catalog

        dmlcli index ./catalog --update

        dmlcli index photos.npz --auto --target-recall 0.98 --max-memory 4G -o photos.index

        dmlcli index ./catalog --to milvus://host:19530/products
    """
    from dmlcli import embeddings, indexes, model_history, storage
    from dmlcli.catalog import Catalog, Columns, open_catalogs
    from dmlcli.encoder import OBJECT, EncoderOptions
    from dmlcli.learn.backbone_table import resolve_need
    from dmlcli.workspace import make, need

    if prune and not update:
        raise UsageError("--prune only works with --update", hint="--update --prune")
    requirements = _requirements(auto, target_recall, max_memory, factory, update and to is None)
    _check_to(to, replace, auto or target_recall or max_memory, output)
    if output is not None:
        storage.check_replaceable(Path(output), indexes.FILES)
    listed = list(map(Path, names(catalog, "catalog"))) or [need(workspace).embeddings]
    source: Embeddings | Catalog
    if len(listed) == 1 and (not catalog or embeddings.is_embeddings(listed[0])):
        source = embeddings.open_embeddings(listed[0]).only(split)
    else:
        columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
        source = open_catalogs(listed, columns, root, strict=strict, merge_products=merge_products).only(split)
    if (average or crop) and not isinstance(source, Catalog):
        raise UsageError(f"--{'average' if average else 'crop'} has no effect on existing embeddings", hint="remove it")
    if average and crop:
        raise UsageError("--crop and --average cannot be combined", hint="remove one of them")
    made_of = OBJECT if crop else average or ""
    backbone = backbone and resolve_need(backbone)
    encoder = EncoderOptions(backbone, weights, pooling, device, provider)
    place = make(workspace)  # only once there is something to index
    if to is not None:
        return _pushed(to, source, made_of, model, place, encoder, factory, update, replace, prune)
    target = Path(output or place.index)
    skipped: tuple[Skipped, ...] = ()
    made_by: Model | None
    with storage.only_writer(target):
        there = indexes.open_index(target) if update and storage.restore(target).exists() else None
        if isinstance(source, Catalog):
            views = there.record.views if there else made_of
            vectors, made_by, failed = _embedded(source, views, model, place, encoder, update, None if prune else there)
            skipped = (*source.skipped, *failed)
        else:
            vectors, made_by = source, _model_of(source, model, place, encoder)
        folder = made_by.folder if made_by else None
        if there is not None:
            changed = indexes.update(target, vectors, folder, prune=prune)
            built, added, removed = changed.index, changed.added, changed.removed
        else:
            built = indexes.build(target, vectors, folder, requirements)
            added, removed = built.images, 0
        if made_by and target == place.index and made_by.folder.resolve().parent == place.models.resolve():
            model_history.place(place.models, made_by, place.model)  # back to a model that train replaced
    return _report(built, folder, skipped, added, removed)


def _report(
    built: "Index", folder: Path | None, skipped: "tuple[Skipped, ...]", added: int, removed: int
) -> "IndexReport":
    from dmlcli.report.index import IndexReport

    measured = built.record.measured
    return IndexReport(
        output=str(built.folder),
        images=built.images,
        products=built.record.products,
        dim=built.dim,
        kind=built.kind,
        model=str(folder) if folder else None,
        recall=measured.recall if measured else 1.0,
        microseconds=measured.microseconds if measured else None,
        memory=built.record.memory,
        why=built.record.why,
        added=added,
        removed=removed,
        skipped=skipped,
    )


def _pushed(
    to: str,
    source: "Embeddings | Catalog",
    made_of: str,
    model: Path | None,
    place: "Workspace",
    encoder: "EncoderOptions",
    kind: str | None,
    update: bool,
    replace: bool,
    prune: bool,
) -> "IndexReport":
    """Push into a collection instead of writing a folder."""
    from dmlcli.catalog import Catalog
    from dmlcli.indexes.milvus import address, push
    from dmlcli.report.index import IndexReport

    server, there = push.connect(address.parse(to), update)  # before hours of embedding
    try:
        skipped: tuple[Skipped, ...] = ()
        made_by: Model | None
        if isinstance(source, Catalog):
            views = there.views if there and update else made_of
            vectors, made_by, failed = _embedded(source, views, model, place, encoder, update)
            skipped = (*source.skipped, *failed)
        else:
            vectors, made_by = source, _model_of(source, model, place, encoder)
        folder = made_by.folder if made_by else None
        done = push.push(server, there, vectors, folder, kind=kind, update=update, replacing=replace, prune=prune)
    finally:
        server.close()
    if done.changed:
        progress.note(f"{done.changed} rows were updated, because the data of their images changed")
    return IndexReport(
        output=done.collection.place,
        images=done.collection.images,
        products=len(set(vectors.products) - {""}),
        dim=vectors.dim,
        kind=done.collection.kind,
        model=str(folder) if folder else None,
        recall=done.parity.share,
        microseconds=done.parity.microseconds,
        memory=len(vectors.items) * (4 * vectors.dim + 8),
        why=done.why,
        added=done.added,
        removed=done.removed,
        skipped=skipped,
        parity=done.parity.share,
    )


def _check_to(to: str | None, replace: bool, choosing: object, output: Path | None) -> None:
    """Raise UsageError for options that cannot be combined with --to."""
    from dmlcli.indexes.gallery import is_address

    if output is not None and is_address(output):
        raise UsageError("-o takes a folder, not a collection", hint="use --to milvus://host:19530/products")
    if to is None:
        if replace:
            raise UsageError("--replace needs a collection", hint="specify it: --to milvus://host:19530/products")
        return
    if output is not None:
        raise UsageError("-o and --to cannot be combined", hint="remove one of them")
    if choosing:
        raise UsageError(
            "--auto, --target-recall and --max-memory do not work with --to",
            hint="use --factory to select an index type of Milvus, for example --factory HNSW",
        )
    if not is_address(to):
        raise UsageError(
            f"invalid --to {to}: not a collection", hint="use --to milvus://host:19530/products, or -o for a folder"
        )


def _requirements(
    auto: bool, recall: float | None, memory: str | None, factory: str | None, update: bool
) -> "IndexRequirements":
    """Return the requirements of the index; raises UsageError for options that cannot be combined."""
    from dmlcli.indexes import TARGET, IndexRequirements

    if update and (auto or factory or memory or recall):
        raise UsageError("--update cannot change the kind of the index", hint="run without --update to rebuild it")
    if factory and (auto or memory):
        raise UsageError(
            f"--factory and {'--auto' if auto else '--max-memory'} cannot be combined",
            hint="remove one of them",
        )
    bytes = None if memory is None else _bytes(memory)
    return IndexRequirements(factory, recall or TARGET, bytes, chosen=auto or recall is not None or memory is not None)


def _bytes(text: str) -> int:
    """Return how many bytes 4G, 500M or 1.5GB are."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if not found or not float(found[1]):
        raise UsageError(f"invalid --max-memory '{text}'", hint="use a size such as 500M or 4G")
    return int(float(found[1]) * _UNITS[found[2]])


def _model_of(
    vectors: "Embeddings", named: Path | None, place: "Workspace", encoder: "EncoderOptions"
) -> "Model | None":
    """Return the model that made the embeddings; None if it is unknown."""
    from dmlcli.model import open_matching

    if not vectors.model and named is None:
        encoder.check(None)
        return None
    model = open_matching(named or place.model, vectors.model)
    encoder.check(model)
    return model


def _embedded(
    photos: "Catalog",
    views: str,
    model: Path | None,
    place: "Workspace",
    encoder: "EncoderOptions",
    update: bool,
    there: "Index | None" = None,
) -> "tuple[Embeddings, Model, list[Skipped]]":
    """Return the embeddings of a catalog, made where they are not known, and kept in the workspace.

    Args:
        photos: the catalog.
        views: what is averaged for each image, or `OBJECT`.
        model: the model that was named; None: the workspace's.
        place: the workspace.
        encoder: what embeds where no model is there.
        update: trust the times of files, and keep the vectors of those that are gone; else every file is read.
        there: the index that is brought up to date; where too much of it is gone, the workspace stays as it is.

    Returns:
        The embeddings, the model, and what could not be read.

    Raises:
        CannotRun: too much of the index is gone.
    """
    from dmlcli import cached_features, embeddings, indexes, storage
    from dmlcli.encoder import OBJECT, Encoder, find_or_make_model
    from dmlcli.object_crops import crop_to_objects

    made_by = find_or_make_model(model, place, photos, encoder)
    with storage.only_writer(place.embeddings):
        known = place.known()
        known = [*known, *cached_features.known(made_by, place, views, known)]
        embedder = Encoder(made_by, views, device=encoder.device, provider=encoder.provider)
        if views == OBJECT:
            photos, parts = crop_to_objects(photos, embedder, place, known, trusting=update)
            known = [parts, *known]
        computed = embedder.embed_catalog(photos, known, keep_at=place.embeddings, trusting=update)
        if there is not None:
            try:
                indexes.check_removal(there, computed.embeddings)
            except CannotRun:
                if computed.fresh:
                    embeddings.save_shard(place.embeddings, computed.embeddings)
                raise
        embeddings.retire(place.embeddings, computed.embeddings, earlier=update)
        embeddings.save(place.embeddings, computed.embeddings)
    return computed.embeddings, made_by, computed.skipped
