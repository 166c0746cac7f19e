"""dmlcli index: a catalogue or its embeddings in, a searchable index out."""

from pathlib import Path

from dmlcli import options
from dmlcli.report import IndexReport, Skipped


def index(
    catalog: options.CatalogOrEmbeddings = None,
    *,
    model: options.ModelPath = None,
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
    strict: options.Strict = False,
) -> IndexReport:
    """Index a catalogue for dmlcli query; without a trained model, the pretrained backbone is searched with.

    Given embeddings (or nothing: those of the workspace), only the index is made.

    Examples:

        dmlcli index ./catalog

        dmlcli index photos.npz -o photos.index
    """
    from dmlcli import disk, embeddings, indexes
    from dmlcli.catalog import Columns, open_catalog
    from dmlcli.encoder import Encoder, find_or_make_model
    from dmlcli.model import open_matching
    from dmlcli.workspace import make, need

    if output is not None:
        disk.check_replaceable(Path(output), indexes.FILES)
    skipped: tuple[Skipped, ...] = ()
    path = Path(catalog) if catalog else None
    if path is None or embeddings.is_embeddings(path):
        vectors = embeddings.open_embeddings(path or need(workspace).embeddings).only(split)
        place = make(workspace)
        made_by = open_matching(model or place.model, vectors.model) if vectors.model or model else None
    else:
        columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
        photos = open_catalog(path, columns, root, strict=strict).only(split)
        place = make(workspace)
        made_by = find_or_make_model(model, place, photos)
        computed = Encoder(made_by).embed_catalog(photos, place.known(), keep_at=place.embeddings)
        vectors = computed.embeddings
        embeddings.save(place.embeddings, vectors)
        skipped = (*photos.skipped, *computed.skipped)
    built = indexes.build(Path(output or place.index), vectors, made_by.folder if made_by else None)
    return IndexReport(
        output=str(built.folder),
        images=built.images,
        products=built.products,
        dim=built.dim,
        kind=built.kind,
        model=str(made_by.folder) if made_by else None,
        skipped=skipped,
    )
