"""dmlcli query: find the most similar images or products of the index."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import options, progress
from dmlcli.arguments import names
from dmlcli.errors import CannotRun, UsageError

if TYPE_CHECKING:
    from dmlcli.indexes.gallery import Gallery, ItemTable
    from dmlcli.model import Model
    from dmlcli.options.query import _Vectors as Vectors
    from dmlcli.report.query import Answer, Columns, QueryReport
    from dmlcli.report.skipped import Skipped
    from dmlcli.search.confidence import AnswerModel
    from dmlcli.search.encoding import Encode
    from dmlcli.search.photo_inputs import Photos
    from dmlcli.search.product_grouping import Pool
    from dmlcli.search.query_inputs import QueryInput
    from dmlcli.search.rerank import Rerank

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf")  # what a contact sheet may be called
_ENOUGH_IMAGES = 3  # of a product, for k-reciprocal re-ranking to find its neighbors


def query(
    images: options.Images = None,
    *,
    top_k: options.TopK = 10,
    where: options.Where = None,
    min_score: options.MinScore = None,
    min_confidence: options.MinConfidence = None,
    max_false_accepts: options.MaxFalseAccepts = None,
    by: options.By = "product",
    pool: options.Pool = None,
    rerank: options.Rerank = None,
    like: options.Like = None,
    vector: options.VectorFile = None,
    minus: options.Minus = None,
    fuse: options.Fuse = False,
    crop: options.Crop = None,
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    sheet: options.Sheet = None,
    html: options.AnswerPage = None,
    explain: options.Explain = False,
    columns: options.Columns = None,
    index: options.IndexPath = None,
    model: options.ModelPath = None,
    device: options.Device = "auto",
    provider: options.Provider = None,
    workspace: options.WorkspacePath = None,
) -> "QueryReport":
    """Search the index by photo: the most similar products, each by its best image.

    Answers come in the order of the photos.

    Examples:

        dmlcli query img.jpg

        dmlcli query front.jpg back.jpg --fuse --where "price < 20"

        cat img.jpg | dmlcli query - --format jsonl | jq -r '.hits[0].product'

        find photos -name '*.jpg' -print0 | dmlcli query --files-from - --null -k 1
    """
    from dmlcli import indexes
    from dmlcli.report.query import QueryReport
    from dmlcli.search import encoding, photo_inputs, query_inputs
    from dmlcli.search.item_lookup import Items
    from dmlcli.search.query_engine import QueryEngine, QueryPlan
    from dmlcli.workspace import need

    liked, unwanted, own = names(like, "like"), names(minus, "minus"), _vectors(vector)
    _check(images, bool(liked or own), files_from, null, by, pool, sheet, html)
    rate = _rate(max_false_accepts)
    if rate is not None and min_score is not None:
        raise UsageError("--max-false-accepts and --min-score exclude each other", hint="remove one of them")
    box = query_inputs.box(crop) if crop else None
    way = _reranking(rerank) if rerank else None
    opened = indexes.open_gallery(index or need(workspace).index)
    items = Items(opened) if isinstance(opened, indexes.Index) else opened
    shown = _columns(names(columns, "columns"), items)
    _check_most(top_k, opened)
    away, without = query_inputs.unwanted(unwanted, opened, items)
    if way is not None:
        _warn_of_few_images(way, items)
    known = [query_inputs.indexed(name, opened, items) for name in liked]
    for one in own:
        known += query_inputs.vectors(one, opened.dim)
    against = list(query_inputs.parts(away, box))
    to_encode = (
        not photo_inputs.are_none(images) or files_from is not None or any(one.vector is None for one in against)
    )
    found = _matching(opened, model, workspace) if to_encode else _if_here(opened, model)
    likely = _answer_model(found, opened, min_confidence is not None, bool(against))
    accepted = _accepted(likely, rate)
    if rate is not None and accepted is None:
        min_score = _calibrated(opened, items, found, rate)
    plan = QueryPlan(
        top_k=top_k,
        min_score=min_score,
        min_match=accepted,
        min_confidence=min_confidence,
        answers=likely,
        among=items.where(where) if where is not None else None,
        rerank=way,
        pool=_pool(pool, found, way) if by == "product" else None,
        fuse=fuse,
        explain=explain,
        columns=shown.decimals if shown.chosen else None,
        without=without,
    )
    asked = query_inputs.parts(_asked(images, files_from, null, known), box)
    several = files_from is not None or photo_inputs.may_be_several(images)
    encode: Encode = encoding.known
    if to_encode and found is not None:
        encode = _encoder(found, not several, device, provider)
    skipped: list[Skipped] = []
    answers = QueryEngine(opened, items, plan, encode).answers(asked, against, skipped if several else None)
    return QueryReport(opened.place, _drawn(answers, sheet, html, opened, shown), skipped, shown)


def _check(
    images: "Photos",
    others: bool,
    files_from: str | None,
    null: bool,
    by: str,
    pool: str | None,
    sheet: Path | None,
    html: Path | None,
) -> None:
    """Raise UsageError or CannotRun for invalid options, before anything is opened."""
    from dmlcli.search.photo_inputs import are_none

    if are_none(images) and not others and files_from is None:
        raise UsageError(
            "no query is given", hint="use dmlcli query img.jpg, --files-from FILE, or - for an image on stdin"
        )
    if null and files_from is None:
        raise UsageError("--null only works with --files-from", hint="--files-from FILE --null")
    if by not in ("product", "image"):
        raise UsageError(f"invalid --by {by}", hint="--by product or --by image")
    if pool is not None and by != "product":
        raise UsageError("--pool only works with --by product, the default", hint=f"--pool {pool}")
    if sheet is not None:
        if Path(sheet).suffix.lower() not in _PICTURES:
            raise UsageError(
                f"invalid --sheet {sheet}: not the name of an image", hint="use a file name that ends in .png"
            )
        _check_place(Path(sheet))
    if html is not None:
        _check_place(Path(html))


def _check_place(target: Path) -> None:
    """Raise CannotRun now if a page or contact sheet could not be written later."""
    from dmlcli import storage

    storage.check_writable(target, new_folders=False)


def _drawn(
    answers: "Iterator[Answer]", sheet: Path | None, html: Path | None, gallery: "Gallery", shown: "Columns"
) -> "Iterator[Answer]":
    """Yield the answers unchanged, and draw the contact sheet and the page after the last one."""
    if sheet is not None:
        from dmlcli.pages.contact_sheet import drawing

        answers = drawing(Path(sheet), answers, _heading(gallery), shown if shown.chosen else None)
    if html is not None:
        from dmlcli.pages.hits import writing

        answers = writing(Path(html), answers, _heading(gallery), shown)
    return answers


def _heading(gallery: "Gallery") -> dict[str, str]:
    """Return what pages and contact sheets have below their title."""
    from dmlcli.pages.rendering import today

    catalog = gallery.root.name or str(gallery.root)
    return {"catalog": catalog, "model": gallery.model or "not known", "date": today()}


def _columns(asked: list[str], items: "ItemTable") -> "Columns":
    """Return the columns to show beside hits: the chosen ones, else all."""
    from dmlcli.report.query import Columns

    known = {"category": 0, **items.columns()}
    if not asked:
        return Columns(known)
    from dmlcli.search import shown_columns

    return shown_columns.chosen(asked, known)


def _reranking(text: str) -> "Rerank":
    from dmlcli.search.rerank import parse

    return parse(text)


def _warn_of_few_images(way: "Rerank", items: "ItemTable") -> None:
    """Warn if a re-ranking method needs more images per product."""
    if way.name != "k-reciprocal":
        return
    usual = items.usual_images()
    if usual < _ENOUGH_IMAGES:
        progress.warn(
            f"--rerank k-reciprocal compares neighbors, and half of the products have {usual:g} images or fewer: "
            "Recall@1 may be lower than without it (measure it with dmlcli eval --rerank all)"
        )


def _vectors(given: "Vectors") -> "list[Any]":
    """Return each file, or array, of --vector."""
    import numpy as np

    if given is None:
        return []
    return [given] if isinstance(given, str | Path | np.ndarray) else list(given)


def _asked(images: "Photos", files_from: str | None, null: bool, known: list["QueryInput"]) -> Iterator["QueryInput"]:
    """Yield all there is to search with, in order; photos are read as they come."""
    from dmlcli.search import photo_inputs

    yield from photo_inputs.sources(images)
    if files_from is not None:
        yield from photo_inputs.listed(files_from, null)
    yield from known


def _encoder(model: "Model", few: bool, device: str, provider: str | None) -> "Encode":
    """Return a function from photos to vectors."""
    from dmlcli.encoder import Encoder

    encoder = Encoder(model, few=few, device=device, provider=provider)
    if few:
        from dmlcli.search.encoding import one_by_one as encode
    else:
        from dmlcli.search.stream import encode
    return lambda asked: encode(asked, encoder.view, encoder.forward)


def _rate(asked: object) -> float | None:
    """Return the share of --max-false-accepts; raises UsageError for an invalid one."""
    if asked is None:
        return None
    text = str(asked).strip()
    try:
        rate = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1:
        raise UsageError(
            f"invalid --max-false-accepts {asked}: expected a share between 0 and 1, or percent",
            hint="--max-false-accepts 5%",
        )
    return rate


def _answer_model(model: "Model | None", gallery: "Gallery", needed: bool, moved: bool) -> "AnswerModel | None":
    """Return the probabilities of answers that cross-validation fitted; None where it fitted none.

    Args:
        model: of the gallery; None: not known.
        gallery: that is searched.
        needed: whether to raise CannotRun instead of returning None.
        moved: whether queries are moved away from a photo, for which there are no probabilities.
    """
    if moved:
        if needed:
            raise UsageError(
                "--min-confidence cannot be combined with --minus PHOTO, which has no probabilities",
                hint="--minus PRODUCT leaves a product out",
            )
        return None
    if model is None or model.record.answers is None:
        if needed:
            raise CannotRun(
                f"--min-confidence needs probabilities, which the model of {gallery.place} does not have",
                hint="dmlcli train fits them if it can hold photos out (docs/query.md); or use --min-score 0.6",
            )
        return None
    from dmlcli.search.confidence import AnswerModel

    return AnswerModel(**model.record.answers)


def _accepted(model: "AnswerModel | None", rate: float | None) -> float | None:
    """Return the least `match` of an answer for a false accept rate, and print what held-out photos show of it."""
    if model is None or rate is None:
        return None
    found = model.acceptance(rate)
    progress.note(
        f"--max-false-accepts {100 * rate:g}%: a match of {found.match:.3f} or more accepts "
        f"{100 * rate:g} % of photos of unknown products and keeps {100 * found.kept:.0f} % of right "
        f"answers ({model.photos} held-out photos in cross-validation)"
    )
    return found.match


def _check_most(top_k: int, gallery: "Gallery") -> None:
    """Raise UsageError if more hits are requested than a search can return."""
    if top_k > gallery.most and gallery.images > gallery.most:
        raise UsageError(f"{gallery.place} returns at most {gallery.most} hits, not {top_k}", hint=f"-k {gallery.most}")


def _matching(gallery: "Gallery", named: Path | None, workspace: Path | None) -> "Model":
    """Return the model of the index: the given one, the one that the index records, or that of the workspace."""
    from dmlcli.indexes.gallery import is_address
    from dmlcli.model import open_matching
    from dmlcli.workspace import find

    folder = named or gallery.model_folder
    if folder is None and gallery.model and is_address(gallery.place):  # pushed from another machine
        place = find(workspace)
        folder = place.model if place else None
        if folder is None:
            raise CannotRun(f"{gallery.place} was made by model {gallery.model}", hint="specify it with --model MODEL")
    return open_matching(folder, gallery.model, None if named else _models(gallery))


def _if_here(gallery: "Gallery", named: Path | None) -> "Model | None":
    """Return the model of the index for what it says of products; None where it cannot be found."""
    from dmlcli.model import open_matching

    folder = named or gallery.model_folder
    models = _models(gallery)
    if folder is None or not gallery.model:
        return None
    try:
        return open_matching(folder, gallery.model, None if named else models)
    except CannotRun:
        return None


def _pool(asked: "Pool | None", model: "Model | None", rerank: "Rerank | None") -> "Pool":
    """Return what products are ranked by: as asked, else as the model chose; by their best image after re-ranking."""
    if asked is not None:
        return asked
    return model.record.product_weight if model is not None and rerank is None else "max"


def _models(gallery: "Gallery") -> Path | None:
    """Return where models that were replaced are kept beside an index."""
    from dmlcli.indexes.gallery import is_address

    return None if is_address(gallery.place) else Path(gallery.place).parent / "models"


def _calibrated(index: "Gallery", items: "ItemTable", model: "Model | None", rate: float) -> float:
    """Return the least cosine for a false accept rate, estimated from the index, printed and stored next to it."""
    from dmlcli.search import calibration

    training = None
    if model is not None and model.record.brings_products_together:
        open_set = model.record.scores.get("open_set")
        training = calibration.Training(model.record.products, open_set["threshold"] if open_set else None)
    found = calibration.of_gallery(index, items, training, 1 - rate)
    known = "" if found.kept is None else f", keeps {100 * found.kept:.0f} % of photos of indexed products"
    how = {
        "all": "",
        "unseen": " that the model was not trained on",
        "cross_validated": ", all trained on, and from products held out in the cross-validation of training",
        "trained": ", all trained on",
    }[found.basis]
    progress.note(
        f"--max-false-accepts {100 * rate:g}%: a cosine of {found.threshold:.3f} or more accepts {100 * rate:g} % of "
        f"photos of unknown products{known} (estimated from {found.images} images of {found.products} products{how})"
    )
    if found.basis == "trained":
        progress.warn(
            "unseen products have higher scores than products that were trained on, and the model has no measurement "
            "of this: fewer of them will be rejected (train without --for seen to measure it)"
        )
    return found.threshold
