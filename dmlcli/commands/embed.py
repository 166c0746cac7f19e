"""dmlcli embed: images in, unit vectors out; what is unchanged is not computed again."""

from pathlib import Path

from dmlcli import options
from dmlcli.report import EmbedReport


def embed(
    catalog: options.CatalogPath,
    *,
    model: options.ModelPath = None,
    output: options.EmbeddingsOut = None,
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
) -> EmbedReport:
    """Embed a catalogue with the workspace's model, or with the pretrained backbone where there is none.

    Examples:

        dmlcli embed ./catalog

        dmlcli embed photos.csv -o photos.npz
    """
    from dmlcli import disk, embeddings
    from dmlcli.catalog import Columns, open_catalog
    from dmlcli.encoder import Encoder, find_or_make_model
    from dmlcli.workspace import make

    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = open_catalog(Path(catalog), columns, root, strict=strict).only(split)
    as_file = output is not None and Path(output).suffix == ".npz"
    if output is not None and not as_file:
        disk.check_replaceable(Path(output), embeddings.FILES)
    place = make(workspace)
    target = Path(output or place.embeddings)
    encoder = Encoder(find_or_make_model(model, place, photos))
    computed = encoder.embed_catalog(photos, place.known(*([] if as_file else [target])), keep_at=place.embeddings)
    if as_file:
        embeddings.save_npz(target, computed.embeddings)
    else:
        embeddings.save(target, computed.embeddings)
    return EmbedReport(
        output=str(target),
        images=len(computed.embeddings.items),
        computed=computed.fresh,
        dim=computed.embeddings.dim,
        model=str(encoder.model.folder),
        skipped=(*photos.skipped, *computed.skipped),
    )
