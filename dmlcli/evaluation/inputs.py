"""Inputs of an evaluation: reads catalogs and embeddings, chooses the protocol, and embeds images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dmlcli.catalog import Benchmark, Catalog, Columns, Item, open_parts
from dmlcli.embeddings import Embeddings, is_embeddings, open_embeddings, save
from dmlcli.errors import CannotRun, EmbeddingsError, MismatchError, UsageError
from dmlcli.evaluation import protocol
from dmlcli.evaluation.measure import EvalSide, EvalSides
from dmlcli.evaluation.product_names import check_some_match
from dmlcli.model import Model, open_matching, open_model
from dmlcli.report.skipped import Skipped
from dmlcli.search.confidence import AnswerModel
from dmlcli.workspace import Workspace, need


class EvalInput(NamedTuple):
    """Queries or gallery: embeddings, or images that are not embedded yet."""

    root: Path
    items: list[Item]
    embeddings: Embeddings | None = None
    skipped: list[Skipped] = []  # noqa: RUF012  never written to
    official: Benchmark | None = None
    catalogs: list[str] = []  # noqa: RUF012  of several catalogs, the name of that of each item; never written to


class Inputs(NamedTuple):
    """The inputs of both sides (the same one without --queries), and the rows that are used."""

    query_input: EvalInput
    gallery_input: EvalInput
    protocol: protocol.Protocol
    same: str | None  # what else a query may not find


@dataclass(frozen=True)
class Request:
    """The options of `eval`, one field for each."""

    paths: Sequence[Path]  # of catalogs, or of one file or folder of embeddings; none: those of the workspace
    queries: Path | None
    splits: tuple[str | None, str | None]
    everything: bool
    same: str | None
    model: Path | None
    against: Path | None
    columns: Columns
    root: Path | None
    strict: bool
    place: Workspace | None
    merge_products: bool = False
    bare: bool = False  # ranked lists are evaluated, which need neither vectors nor a model
    on: tuple[str, str | None] = ("auto", None)  # --device and --provider

    def model_folder(self) -> Path:
        """Return the model that embeds; raises CannotRun if none is given and no workspace exists."""
        return self.model or (self.place or need()).model


def choose(request: Request) -> Inputs:
    """Read the inputs and choose the protocol, without embedding images."""
    gallery_input = read_input(request.paths, request)
    if request.queries is not None:
        query_input = read_input([request.queries], replace(request, merge_products=False))
        rows = (
            protocol.rows_of(query_input.items, request.splits[0]),
            protocol.rows_of(gallery_input.items, request.splits[1]),
        )
        scope = f"{request.queries} in {' '.join(map(str, request.paths)) or 'the embeddings of the workspace'}"
        chosen = protocol.Protocol(protocol.QUERY_GALLERY, scope, *rows, includes_training=False)
        return Inputs(query_input, gallery_input, chosen, request.same)
    models = [] if request.bare else [_model_of(gallery_input, request), _as_model(request.against)]
    trained = {product for model in models if model for product in model.record.products}
    chosen = protocol.choose(gallery_input.items, *request.splits, trained, request.everything)
    cameras = gallery_input.official is not None and gallery_input.official.exclude_same_source
    return Inputs(gallery_input, gallery_input, chosen, request.same or ("camera" if cameras else None))


def open_sides(request: Request, chosen: Inputs) -> tuple[EvalSides, list[Skipped]]:
    """Embed images that are not embedded, and return queries and gallery."""
    alone = chosen.query_input is chosen.gallery_input
    rows, places = chosen.protocol.queries, chosen.protocol.gallery
    queries, gallery = set(rows), set(places)
    if alone:
        gallery_input = query_input = _embed(chosen.gallery_input, sorted(queries | gallery), "gallery", request)
    else:
        gallery_input = _embed(chosen.gallery_input, places, "gallery", request)
        query_input = _embed(chosen.query_input, rows, "queries", request)
    gallery_rows = [place for place, row in enumerate(gallery_input.rows) if row in gallery]
    all_queries = [place for place, row in enumerate(query_input.rows) if row in queries]
    query_rows = [place for place in all_queries if query_input.side.items[place].product]
    if not query_rows:
        raise EmbeddingsError(
            "no query has a product, so nothing can be scored",
            hint="specify the product column with --product-column NAME",
        )
    if chosen.protocol.name == protocol.QUERY_GALLERY:
        check_some_match(
            {query_input.side.items[place].product for place in query_rows},
            {gallery_input.side.items[place].product for place in gallery_rows} - {""},
        )
    own = None
    if chosen.protocol.name == protocol.LEAVE_ONE_OUT:
        standing = {row: place for place, row in enumerate(gallery_rows)}
        own = np.array([standing[row] for row in query_rows])
    gallery_side = _take(gallery_input.side, gallery_rows)
    sides = EvalSides(
        protocol=chosen.protocol.name,
        scope=chosen.protocol.scope,
        queries=gallery_side if own is not None and query_rows == gallery_rows else _take(query_input.side, query_rows),
        gallery=gallery_side,
        own_rows=own,
        includes_training=chosen.protocol.includes_training,
        unknown=len(all_queries) - len(query_rows),
        same=chosen.same,
    )
    if chosen.gallery_input.catalogs:
        named = chosen.query_input.catalogs or [str(request.queries)] * len(chosen.query_input.items)
        sides = replace(
            sides,
            query_catalogs=[named[query_input.rows[place]] for place in query_rows],
            gallery_catalogs=[chosen.gallery_input.catalogs[gallery_input.rows[place]] for place in gallery_rows],
        )
    _check_together(sides)
    skipped = [
        *chosen.gallery_input.skipped,
        *gallery_input.skipped,
        *([] if alone else [*chosen.query_input.skipped, *query_input.skipped]),
    ]
    return sides, skipped


def comparison_sides(request: Request, sides: EvalSides, path: Path) -> EvalSides:
    """Return the same queries and gallery with vectors of another model or other embeddings.

    Args:
        request: the options of `eval`.
        sides: the queries and gallery.
        path: a model folder or embeddings.

    Raises:
        UsageError: the path is neither.
        CannotRun: images cannot be read again, or embeddings lack some.
    """
    model = _as_model(path)
    if model is None and not is_embeddings(path):
        raise CannotRun(
            f"{path} is neither a model nor embeddings", hint="--against takes a model folder or embeddings"
        )
    embedded: list[EvalSide] = []
    for role, side in (("gallery", sides.gallery), ("queries", sides.queries)):
        if role == "queries" and sides.queries is sides.gallery:
            embedded.append(embedded[0])
        elif model is None:
            embedded.append(_matched(open_embeddings(path), side, path))
        else:
            eval_input = EvalInput(side.root, side.items)
            loaded = _embed(eval_input, range(len(side.items)), f"against-{role}", request, model)
            if loaded.skipped:
                failure = loaded.skipped[0]
                raise CannotRun(f"{failure.path} cannot be read again: {failure.reason}")
            embedded.append(loaded.side)
    gallery, queries = embedded
    return EvalSides(
        sides.protocol, sides.scope, queries, gallery, sides.own_rows, sides.includes_training, same=sides.same
    )


def made_by(sides: EvalSides, request: Request) -> Model | None:
    """Return the model that made the gallery's vectors, where it can be found."""
    return _matching(sides.gallery.model, request)


def answer_model(sides: EvalSides, request: Request) -> AnswerModel | None:
    """Return the probabilities of the gallery's model; None where it has none or cannot be found."""
    model = made_by(sides, request)
    return AnswerModel(**model.record.answers) if model and model.record.answers else None


def unknown_images(request: Request, chosen: Inputs) -> int:
    """Return how many images would have to be embedded, by path only."""
    known = request.place.known() if request.place else []
    known_images = {embeddings.root / item.path for embeddings in known for item in embeddings.items}
    count = 0
    both = [(chosen.gallery_input, {*chosen.protocol.gallery})]
    if chosen.query_input is chosen.gallery_input:
        both[0][1].update(chosen.protocol.queries)
    else:
        both.append((chosen.query_input, {*chosen.protocol.queries}))
    for eval_input, rows in both:
        if eval_input.embeddings is None:
            count += sum(eval_input.root / eval_input.items[row].path not in known_images for row in rows)
    return count


def dimensions(request: Request, chosen: Inputs) -> int:
    """Return the dimensions of the vectors."""
    found = chosen.gallery_input.embeddings
    return found.dim if found is not None else open_model(request.model_folder()).record.dim


def read_input(paths: Sequence[Path], request: Request) -> EvalInput:
    """Return embeddings, or one or several catalogs; for no path, the embeddings of the workspace."""
    if not paths or (len(paths) == 1 and is_embeddings(paths[0])):
        if request.merge_products:
            raise UsageError("--merge-products needs several catalogs", hint="remove it")
        found = open_embeddings(paths[0] if paths else (request.place or need()).embeddings)
        return EvalInput(found.root, found.items, found)
    parts = open_parts(
        paths, request.columns, request.root, strict=request.strict, merge_products=request.merge_products
    )
    first = parts[0].catalog
    if len(parts) == 1:
        return EvalInput(first.root, first.items, None, first.skipped, first.benchmark)
    return EvalInput(
        first.root,
        [item for part in parts for item in part.catalog.items],
        skipped=[skipped for part in parts for skipped in part.catalog.skipped],
        catalogs=[part.name for part in parts for _ in part.catalog.items],
    )


class _Loaded(NamedTuple):
    """The embedded images of an input, and their rows in it."""

    side: EvalSide
    rows: list[int]
    skipped: list[Skipped]


def _embed(
    eval_input: EvalInput,
    rows: Sequence[int],
    role: str,
    request: Request,
    model: Model | None = None,
) -> _Loaded:
    if request.bare:
        return _Loaded(EvalSide(eval_input.root, [eval_input.items[row] for row in rows]), list(rows), [])
    if eval_input.embeddings is not None:
        found = eval_input.embeddings
        whole = len(rows) == len(found.items)
        vectors = found.vectors if whole else found.vectors[np.asarray(rows, dtype=np.int64)]
        items = [eval_input.items[row] for row in rows]
        return _Loaded(EvalSide(found.root, items, np.asarray(vectors, np.float32), found.model), list(rows), [])
    from dmlcli.encoder import Encoder

    device, provider = request.on
    encoder = Encoder(model or open_model(request.model_folder()), device=device, provider=provider)
    photos = Catalog(eval_input.root, [eval_input.items[row] for row in rows])
    place = request.place
    if place is None:
        computed = encoder.embed_catalog(photos, [])
    else:
        cache = place.evaluated / role  # so that the next eval need not embed again
        computed = encoder.embed_catalog(
            photos, place.known(cache, place.embedded / encoder.fingerprint), keep_at=cache
        )
        if computed.fresh:
            save(cache, computed.embeddings)
    found = computed.embeddings
    row_of = {id(item): row for item, row in zip(photos.items, rows, strict=True)}  # a table may name a photo twice
    side = EvalSide(found.root, found.items, np.asarray(found.vectors, np.float32), found.model)
    return _Loaded(side, [row_of[id(item)] for item in found.items], computed.skipped)


def _matched(other: Embeddings, side: EvalSide, path: Path) -> EvalSide:
    """Return the rows of other embeddings that show the images of this side, in its order."""
    rows = {item.path: row for row, item in enumerate(other.items)}
    rows |= {str(other.root / item.path): row for row, item in enumerate(other.items)}
    found = [rows.get(str(side.root / item.path), rows.get(item.path, -1)) for item in side.items]
    if missing := [item.path for item, row in zip(side.items, found, strict=True) if row < 0]:
        raise MismatchError(
            f"{path} lacks {len(missing)} of {len(found)} images, first {missing[0]}",
            hint="dmlcli embed the same catalog with the other model",
        )
    return EvalSide(side.root, side.items, np.asarray(other.vectors[np.array(found)], np.float32), other.model)


def _take(side: EvalSide, places: list[int]) -> EvalSide:
    if len(places) == len(side.items):
        return side
    vectors = side.vectors[np.asarray(places, dtype=np.int64)] if side.vectors is not None else None
    return EvalSide(side.root, [side.items[place] for place in places], vectors, side.model)


def _check_together(sides: EvalSides) -> None:
    queries, gallery = sides.queries, sides.gallery
    if queries.vectors is None or gallery.vectors is None:
        return
    if queries.vectors.shape[1] != gallery.vectors.shape[1]:
        raise UsageError(
            f"queries have {queries.vectors.shape[1]} dimensions, the gallery {gallery.vectors.shape[1]}",
            hint="embed both with one model",
        )
    if queries.model != gallery.model and queries.model and gallery.model:
        raise MismatchError(
            f"the queries were embedded by model {queries.model}, the gallery by {gallery.model}",
            hint="embed both with one model: dmlcli embed",
        )


def _model_of(eval_input: EvalInput, request: Request) -> Model | None:
    """Return the model of an input's embeddings, existing or future; None if it is not available."""
    if eval_input.embeddings is not None:
        return _matching(eval_input.embeddings.model, request)
    try:
        return open_model(request.model_folder())
    except CannotRun:
        return None  # reported when it is needed; ranked lists do without


def _as_model(path: Path | None) -> Model | None:
    return open_model(path) if path is not None and (path / "model.json").exists() else None


def _matching(fingerprint: str, request: Request) -> Model | None:
    named = request.model or (request.place.model if request.place else None)
    try:
        return open_matching(named, fingerprint) if fingerprint else None
    except CannotRun:
        return None
