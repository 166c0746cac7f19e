"""dmlcli eval: how good the search is, with which confidence."""

from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options, progress
from dmlcli.errors import EmbeddingsError, MismatchError, UsageError
from dmlcli.report import EvalReport, Skipped

if TYPE_CHECKING:
    from dmlcli.catalog import Columns
    from dmlcli.embeddings import Embeddings
    from dmlcli.model import Model
    from dmlcli.workspace import Workspace


_ALIKE = 1e-4  # largest difference in any coordinate between embeddings that have collapsed


def eval(
    catalog: options.CatalogOrEmbeddings = None,
    *,
    queries: options.Queries = None,
    query_split: options.QuerySplit = None,
    gallery_split: options.GallerySplit = None,
    model: options.ModelPath = None,
    seed: options.Seed = 0,
    workspace: options.WorkspacePath = None,
    image_column: options.ImageColumn = None,
    product_column: options.ProductColumn = None,
    category_column: options.CategoryColumn = None,
    split_column: options.SplitColumn = None,
    source_column: options.SourceColumn = None,
    box_column: options.BoxColumn = None,
    root: options.Root = None,
    strict: options.Strict = False,
) -> EvalReport:
    """Score the search: Recall@K, MAP@R and R-Precision with 95 % intervals.

    With queries of their own (--queries, or two splits) the protocol is query/gallery, else every image is searched
    among all others (leave-one-out). Without a catalogue, the workspace's embeddings are scored.

    Examples:

        dmlcli eval ./catalog --queries ./phone-photos

        dmlcli eval photos.csv --query-split test --gallery-split train --format json
    """
    import numpy as np

    from dmlcli import metrics
    from dmlcli.catalog import Columns
    from dmlcli.ranking import rankings
    from dmlcli.workspace import find

    if (query_split is None) != (gallery_split is None) and queries is None:
        raise UsageError("--query-split and --gallery-split go together", hint="or name a catalogue with --queries")
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    place = find(workspace)
    skipped: list[Skipped] = []
    wanted = [gallery_split] if queries else [query_split, gallery_split]
    opened = _open(Path(catalog) if catalog else None, wanted, model, place, "gallery", columns, root, strict, skipped)
    gallery = opened.only(gallery_split)
    alone = queries is None and query_split is None
    asked = gallery if alone else opened.only(query_split)
    if queries is not None:
        asked = _open(Path(queries), [query_split], model, place, "queries", columns, root, strict, skipped).only(
            query_split
        )
    if asked.dim != gallery.dim:
        raise UsageError(
            f"queries have {asked.dim} dimensions, the gallery {gallery.dim}", hint="embed both with one model"
        )

    if asked.model != gallery.model and asked.model and gallery.model:
        raise MismatchError(
            f"the queries were embedded by model {asked.model}, the gallery by {gallery.model}",
            hint="dmlcli embed makes either anew",
        )
    known = [row for row, product in enumerate(asked.products) if product]
    if not known:
        raise EmbeddingsError(
            "no query has a product, so there is nothing to be right about", hint="--product-column NAME"
        )
    products = [asked.products[row] for row in known]
    own_rows = np.array(known) if alone else None
    found = rankings(asked.vectors[known], np.asarray(gallery.vectors), products, gallery.products, own_rows=own_rows)
    if np.ptp(gallery.vectors, axis=0).max() < _ALIKE:
        progress.warn("all embeddings are alike (a collapse): any image is as close as any other, so every score is 0")
    values = metrics.score(found, largest=len(gallery.items) - alone)
    made_by = _model_of(gallery, model, place)
    return EvalReport(
        protocol="leave-one-out" if alone else "query/gallery",
        queries=len(asked.items),
        gallery=len(gallery.items),
        products=len(set(products)),
        trained_products=len(set(products) & set(made_by.record.products)) if made_by else 0,
        without_positive=len(asked.items) - len(known) + sum(len(ranks) == 0 for ranks in found),
        metrics={name: metrics.mean(value) for name, value in values.items()},
        interval95={name: metrics.interval95(value, products, seed) for name, value in values.items()},
        model=str(made_by.folder) if made_by else None,
        seed=seed,
        caution=made_by.record.caution if made_by else "",
        skipped=tuple(skipped),
    )


def _open(
    path: Path | None,
    splits: list[str | None],
    model: Path | None,
    place: "Workspace | None",
    role: str,
    columns: "Columns",
    root: Path | None,
    strict: bool,
    skipped: list[Skipped],
) -> "Embeddings":
    """Embeddings as they are, a catalogue by embedding it, nothing by the workspace's; only what is in `splits`."""
    from dmlcli.catalog import open_catalog
    from dmlcli.embeddings import is_embeddings, open_embeddings, save
    from dmlcli.encoder import Encoder
    from dmlcli.model import open_model
    from dmlcli.workspace import need

    if path is None or is_embeddings(path):
        return open_embeddings(path or (place or need()).embeddings)
    photos = open_catalog(path, columns, root, strict=strict).only(*splits)
    encoder = Encoder(open_model(model or (place or need()).model))
    if place is None:
        computed = encoder.embed_catalog(photos, [])
    else:
        cache = place.evaluated / role  # so that the next eval need not embed again
        computed = encoder.embed_catalog(photos, place.known(cache), keep_at=cache)
        if computed.fresh:
            save(cache, computed.embeddings)
    skipped += [*photos.skipped, *computed.skipped]
    return computed.embeddings


def _model_of(embeddings: "Embeddings", named: Path | None, place: "Workspace | None") -> "Model | None":
    """The model that made the embeddings, where it can be found."""
    from dmlcli.errors import CannotRun
    from dmlcli.model import open_matching

    try:
        return open_matching(named or (place.model if place else None), embeddings.model) if embeddings.model else None
    except CannotRun:
        return None
