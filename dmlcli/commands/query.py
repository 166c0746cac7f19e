"""dmlcli query: find the most similar images or products of the index."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import options
from dmlcli.arguments import names
from dmlcli.errors import UsageError

if TYPE_CHECKING:
    from dmlcli.indexes.gallery import Gallery
    from dmlcli.model import Model
    from dmlcli.options.query import _Vectors as Vectors
    from dmlcli.pages.match_sheet import Explain
    from dmlcli.report.query import Answer, Columns, QueryReport
    from dmlcli.report.skipped import Skipped
    from dmlcli.search.cropping import CropMode
    from dmlcli.search.encoding import Encode
    from dmlcli.search.photo_inputs import Photos
    from dmlcli.search.query_inputs import QueryInput

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".pdf")  # what a contact sheet may be called


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
    right: options.Right = None,
    wrong: options.Wrong = None,
    fuse: options.Fuse = False,
    crop: options.Crop = None,
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    sheet: options.Sheet = None,
    html: options.AnswerPage = None,
    explain: options.Explain = False,
    explain_match: options.ExplainMatch = None,
    columns: options.Columns = None,
    server: options.ServerUrl = None,
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
    from dmlcli.report.query import QueryReport
    from dmlcli.search import encoding, photo_inputs, query_inputs, query_options
    from dmlcli.search.query_engine import QueryEngine
    from dmlcli.search_session import open_session

    liked, own = names(like, "like"), _vectors(vector)
    _check(images, bool(liked or own), files_from, null, sheet, html)
    _check_match_sheet(explain_match, fuse or bool(names(right, "right") or names(wrong, "wrong")))
    given: dict[str, Any] = {
        "top_k": top_k,
        "where": where,
        "min_score": min_score,
        "min_confidence": min_confidence,
        "max_false_accepts": max_false_accepts,
        "by": by,
        "pool": pool,
        "rerank": rerank,
        "minus": names(minus, "minus"),
        "right": names(right, "right"),
        "wrong": names(wrong, "wrong"),
        "crop": crop,
        "columns": names(columns, "columns"),
        "fuse": fuse,
    }
    wanted = query_options.read(**given, explain=explain)
    several = files_from is not None or photo_inputs.may_be_several(images)
    skipped: list[Skipped] = []
    if server is not None:
        here = {"--vector": own, "--explain": explain, "--sheet": sheet, "--html": html, "--model": model}
        here["--explain-match"] = explain_match
        here |= {"--workspace": workspace, "--provider": provider, "--device": device != "auto"}
        _check_remote([option for option, value in here.items() if value])
        name = None if index is None else str(index)
        return _remote(server, name, _asked(images, files_from, null, []), liked, given, skipped if several else None)
    session = open_session(index, model, workspace)
    gallery, items = session.gallery, session.items
    its_model = session.model_if_here()
    plan, moves, shown = query_options.resolve(wanted, gallery, items, its_model)
    known = [query_inputs.indexed(name, gallery, items) for name in liked]
    for one in own:
        known += query_inputs.vectors(one, gallery.dim)
    asked = query_inputs.parts(_asked(images, files_from, null, known), wanted.part)
    encode: Encode = encoding.known
    if not photo_inputs.are_none(images) or files_from is not None or any(move.target.vector is None for move in moves):
        encode = _encoder(its_model or session.model(), not several, device, provider, wanted.crop)
    answers = QueryEngine(gallery, items, plan, encode).answers(asked, moves, skipped if several else None)
    explained = None if explain_match is None else _explain(its_model or session.model())
    if explained is not None and explain_match is not None:
        from dmlcli.pages import match_sheet

        answers = match_sheet.drawing(Path(explain_match), answers, _heading(gallery), explained)
    return QueryReport(gallery.place, _drawn(answers, sheet, html, gallery, shown, explained), skipped, shown)


def _check(
    images: "Photos",
    others: bool,
    files_from: str | None,
    null: bool,
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
    if sheet is not None:
        if Path(sheet).suffix.lower() not in _PICTURES:
            raise UsageError(
                f"invalid --sheet {sheet}: not the name of an image", hint="use a file name that ends in .png"
            )
        _check_place(Path(sheet))
    if html is not None:
        _check_place(Path(html))


def _check_match_sheet(target: Path | None, is_moved: bool) -> None:
    """Raise UsageError or CannotRun where a picture of matches cannot be drawn."""
    if target is None:
        return
    if is_moved:
        raise UsageError(
            "--explain-match compares single photos: it does not work with --fuse, --right and --wrong",
            hint="remove them",
        )
    if Path(target).suffix.lower() not in _PICTURES[:-1]:
        raise UsageError(
            f"invalid --explain-match {target}: not the name of an image", hint="use a name like match.png"
        )
    _check_place(Path(target))


def _check_remote(options_here: list[str]) -> None:
    """Raise UsageError for options that only work where the index is."""
    if options_here:
        raise UsageError(f"{options_here[0]} does not work with --server", hint="remove it, or search the index itself")


def _remote(
    url: str,
    index: str | None,
    photos: "Iterator[QueryInput]",
    likes: list[str],
    options: dict[str, Any],
    skipped: "list[Skipped] | None",
) -> "QueryReport":
    """Return the answers of a server, as those of an index here."""
    from dmlcli.report.query import QueryReport
    from dmlcli.search import shown_columns
    from dmlcli.server.client import Server

    server = Server(url, index)
    columns = server.columns()
    shown = shown_columns.chosen(options["columns"], columns.decimals) if options["columns"] else columns
    return QueryReport(
        url, server.answers(photos, likes, options, skipped), skipped if skipped is not None else [], shown
    )


def _check_place(target: Path) -> None:
    """Raise CannotRun now if a page or contact sheet could not be written later."""
    from dmlcli import storage

    storage.check_writable(target, new_folders=False)


def _drawn(
    answers: "Iterator[Answer]",
    sheet: Path | None,
    html: Path | None,
    gallery: "Gallery",
    shown: "Columns",
    explain: "Explain | None",
) -> "Iterator[Answer]":
    """Yield the answers unchanged, and draw the contact sheet and the page after the last one."""
    if sheet is not None:
        from dmlcli.pages.contact_sheet import drawing

        answers = drawing(Path(sheet), answers, _heading(gallery), shown if shown.chosen else None)
    if html is not None:
        from dmlcli.pages.hits import writing

        answers = writing(Path(html), answers, _heading(gallery), shown, explain)
    return answers


def _explain(model: "Model") -> "Explain":
    """Return a function from a query and a hit to the terms of their cosine; it keeps results for picture and page."""
    from functools import lru_cache

    from dmlcli.pages.match_sheet import MOST
    from dmlcli.search.match_explainer import MatchExplainer

    return lru_cache(MOST)(MatchExplainer(model).explain)


def _heading(gallery: "Gallery") -> dict[str, str]:
    """Return what pages and contact sheets have below their title."""
    from dmlcli.pages.rendering import today

    catalog = gallery.root.name or str(gallery.root)
    return {"catalog": catalog, "model": gallery.model or "not known", "date": today()}


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


def _encoder(model: "Model", few: bool, device: str, provider: str | None, crop: "CropMode | None" = None) -> "Encode":
    """Return a function from photos to vectors."""
    from dmlcli.encoder import Encoder

    encoder = Encoder(model, few=few, device=device, provider=provider)
    if crop is not None:
        from dmlcli.search.cropping import Cropper

        return Cropper(model, encoder.forward, crop).encode
    if few:
        from dmlcli.search.encoding import one_by_one as encode
    else:
        from dmlcli.search.stream import encode
    return lambda asked: encode(asked, encoder.view, encoder.forward)
