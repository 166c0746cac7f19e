"""dmlcli embed: compute unit vectors of images; unchanged images are not computed again."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dmlcli import dist_env, options
from dmlcli.arguments import names
from dmlcli.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from dmlcli.catalog import Catalog, Columns
    from dmlcli.embeddings import Computed, Embeddings
    from dmlcli.encoder import Encoder
    from dmlcli.report.embed import EmbedReport
    from dmlcli.workspace import Workspace


def embed(
    catalog: options.EmbedInputs = None,
    *,
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    prune: options.Prune = False,
    model: options.ModelPath = None,
    backbone: options.PretrainedBackbone = None,
    weights: options.Weights = None,
    pooling: options.Pooling = None,
    device: options.Device = "auto",
    provider: options.Provider = None,
    average: options.Average = None,
    crop: options.CropObjects = None,
    dtype: options.DType = "float32",
    precision: options.EmbedPrecision = "float32",
    output: options.EmbeddingsOut = None,
    layout: options.Layout = "dmlcli",
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
) -> "EmbedReport":
    """Embed a catalog with the workspace's model, or a pretrained backbone if there is none.

    A run that was stopped is taken up where it was.

    Examples:

        dmlcli embed ./catalog

        dmlcli embed photos.csv -o photos.npz

        find photos -name '*.jpg' | dmlcli embed --files-from - -o photos.parquet
    """
    from dmlcli import cached_features, embeddings, prefetch, storage
    from dmlcli.catalog import Columns
    from dmlcli.encoder import OBJECT, Encoder, EncoderOptions, find_or_make_model
    from dmlcli.learn.backbone_table import resolve_need
    from dmlcli.report.embed import EmbedReport
    from dmlcli.workspace import make

    inputs = names(catalog, "catalog")
    _check_asked(inputs, files_from, null, output, layout)
    _check_crop(crop, average, "-" in inputs)
    as_file = output is not None and Path(output).suffix in embeddings.SUFFIXES
    if output is not None and as_file:
        storage.check_writable(Path(output))
    elif output is not None:
        own = embeddings.CLIP_RETRIEVAL if layout == "clip-retrieval" else embeddings.FILES
        storage.check_replaceable(Path(output), own)
    columns = Columns(image_column, product_column, category_column, split_column, source_column, box_column)
    photos = _photos(inputs, files_from, null, columns, root, strict).only(split)
    place = make(workspace, needed=output is None or model is None)
    target = Path(output or place.embeddings)
    kept_at = place.embeddings if (as_file or layout == "clip-retrieval") and place.is_writable else target
    backbone = backbone and resolve_need(backbone)
    chosen = find_or_make_model(model, place, photos, EncoderOptions(backbone, weights, pooling))
    dist_env.end_gently()
    with prefetch.shared_by(dist_env.neighbors()):
        encoder = Encoder(
            chosen, OBJECT if crop else average or "", narrow=precision == "bfloat16", device=device, provider=provider
        )
        if dist_env.rank() > 0:
            _follow(encoder, photos, place, kept_at)
    with storage.only_writer(kept_at):
        known = place.known(kept_at)
        known = [*known, *cached_features.known(chosen, place, encoder.views, known)]
        if dist_env.world() > 1:
            encoder.embed_part(photos, known, kept_at)
        if crop:
            from dmlcli.object_crops import crop_to_objects

            photos, parts = crop_to_objects(photos, encoder, place, known)
            known = [parts, *known]
        computed = _from_stdin(encoder) if inputs == ["-"] else encoder.embed_catalog(photos, known, kept_at)
        if kept_at == target:
            _retire(target, computed, prune)
        _save(target, computed.embeddings, dtype, layout, as_file)
        embeddings.clear_shards(kept_at)
    return EmbedReport(
        output=str(target),
        images=len(computed.embeddings.items),
        computed=computed.fresh if dist_env.world() == 1 else _new(computed.embeddings, known),
        dim=computed.embeddings.dim,
        dtype=dtype,
        views=encoder.views,
        model=str(encoder.model.folder),
        skipped=(*photos.skipped, *computed.skipped),
    )


def _retire(target: Path, computed: "Computed", prune: bool) -> None:
    """Keep the vectors of images that the folder will no longer contain.

    Raises:
        CannotRun: too many files are gone, and `--prune` is not given.
    """
    from dmlcli import embeddings
    from dmlcli.errors import EmbeddingsError
    from dmlcli.image import is_there

    try:
        old = embeddings.open_embeddings(target)
    except EmbeddingsError:
        return
    new = computed.embeddings
    if old.root == new.root and not prune:
        listed = {item.path for item in new.items}
        now = [(item.path, state.digest) for item, state in zip(new.items, new.states, strict=True)]
        before = [(item.path, state.digest) for item, state in zip(old.items, old.states, strict=True)]
        kept = [image for image in before if image[0] not in listed and is_there(old.root / image[0])]
        try:
            embeddings.missing_images.check(before, [*now, *kept], f"the embeddings in {target}")
        except CannotRun:
            if computed.fresh:
                embeddings.save_shard(target, new)
            raise
    embeddings.retire(target, new, earlier=True)


def _follow(encoder: "Encoder", photos: "Catalog", place: "Workspace", kept_at: Path) -> NoReturn:
    """Compute the part of the images of a process other than the main one, and exit."""
    with dist_env.a_part():
        encoder.embed_part(photos, place.known(kept_at), kept_at)
    raise SystemExit(0)


def _new(made: "Embeddings", known: Sequence["Embeddings"]) -> int:
    """Return how many rows some process computed: those that were not known before."""
    of_this = [other for other in known if (other.model, other.views) == (made.model, made.views)]
    before = {state.digest for other in of_this for state in other.states}
    return sum(state.digest not in before for state in made.states)


def _check_asked(
    inputs: Sequence[str | Path], files_from: str | None, null: bool, output: Path | None, layout: str
) -> None:
    """Raise UsageError for options that cannot be combined."""
    if not inputs and files_from is None:
        raise UsageError("no images to embed", hint="use dmlcli embed CATALOG, image files, or --files-from FILE")
    if null and files_from is None:
        raise UsageError("--null only works with --files-from", hint="--files-from FILE --null")
    if "-" in inputs and (len(inputs) > 1 or files_from is not None):
        raise UsageError(
            "an image on stdin (-) cannot be combined with other images", hint="dmlcli embed - -o vector.npy < img.jpg"
        )
    if "-" in (*inputs, files_from) and dist_env.world() > 1:
        raise UsageError(f"{dist_env.world()} processes cannot share stdin", hint="use a file: --files-from FILE")
    if "-" in inputs and output is None:
        raise UsageError(
            "a single image would replace the embeddings of the workspace",
            hint="dmlcli embed - -o vector.npy < img.jpg",
        )
    if layout == "clip-retrieval" and output is None:
        raise UsageError("--layout clip-retrieval needs an output folder", hint="specify it with -o DIR")


def _check_crop(crop: str | None, average: str | None, from_stdin: bool) -> None:
    """Raise UsageError for options that cannot be combined with --crop."""
    if crop and average:
        raise UsageError("--crop and --average cannot be combined", hint="remove one of them")
    if crop and (from_stdin or dist_env.world() > 1):
        raise UsageError("--crop auto needs a catalog, and one process", hint="remove it")


def _photos(
    inputs: Sequence[str | Path],
    files_from: str | None,
    null: bool,
    columns: "Columns",
    root: Path | None,
    strict: bool,
) -> "Catalog":
    """Return the images to embed: a catalog if one is given, else images without products, in order."""
    from dmlcli import path_lists
    from dmlcli.catalog import Catalog, Item, find_images, open_catalog
    from dmlcli.image import SNIFF_LENGTH, is_image
    from dmlcli.report.skipped import Skipped

    def is_photo(path: Path) -> bool:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return is_image(stream.read(SNIFF_LENGTH))

    if inputs == ["-"]:
        return Catalog(Path.cwd(), [])
    if files_from is None and len(inputs) == 1 and not is_photo(Path(inputs[0])):
        return open_catalog(Path(inputs[0]), columns, root, strict=strict)
    files = [file for path in inputs for file in find_images(Path(path))]
    skipped: list[Skipped] = []
    for line in path_lists.read(files_from, null) if files_from is not None else ():
        if line.failure:
            skipped.append(Skipped(line.name, line.failure))
        else:
            files.append(Path(line.name))
    if not files:
        raise CannotRun("no images to embed", hint="embed takes image files, folders and lists of them")
    return Catalog(Path(root or Path.cwd()).resolve(), [Item(str(file), "") for file in files], skipped)


def _from_stdin(encoder: "Encoder") -> "Computed":
    """Return the one image whose bytes are on stdin."""
    from dmlcli.catalog import Item
    from dmlcli.embeddings import Computed, Embeddings, FileState
    from dmlcli.image import read_stream

    if sys.stdin.isatty():
        raise UsageError("expected an image on stdin, but stdin is a terminal", hint="dmlcli embed - < img.jpg")
    vectors = encoder.embed(read_stream(sys.stdin.buffer.read))
    made = Embeddings(Path(), [Item("-", "")], [FileState(0, 0, "")], vectors, encoder.fingerprint, encoder.views)
    return Computed(made, 1, [])


def _save(target: Path, made: "Embeddings", dtype: options.DTypeName, layout: str, as_file: bool) -> None:
    from dmlcli import embeddings

    if layout == "clip-retrieval":
        embeddings.save_clip_retrieval(target, made)
    elif as_file:
        embeddings.save_file(target, made, dtype)
    else:
        embeddings.save(target, made, dtype)
