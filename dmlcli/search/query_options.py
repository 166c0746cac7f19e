"""The options that decide the answers of a query: read from text, then resolved against an index and its model."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from dmlcli import progress
from dmlcli.errors import CannotRun, UsageError
from dmlcli.indexes.gallery import Gallery, ItemTable
from dmlcli.report.query import Columns
from dmlcli.search import feedback, query_inputs
from dmlcli.search.feedback import Move
from dmlcli.search.query_engine import QueryPlan
from dmlcli.search.query_inputs import PartSpec

if TYPE_CHECKING:
    from dmlcli.model import Model
    from dmlcli.search.confidence import AnswerModel
    from dmlcli.search.cropping import CropMode
    from dmlcli.search.product_grouping import Pool
    from dmlcli.search.rerank import Rerank

_ENOUGH_IMAGES = 3  # of a product, for k-reciprocal re-ranking to find its neighbors


class QueryOptions(NamedTuple):
    """The options as they are given, checked as far as this is possible without an index."""

    top_k: int
    where: str | None
    min_score: float | None
    min_confidence: float | None
    max_false_accepts: float | None  # a share
    by_product: bool
    pool: "Pool | None"  # None: as the model says
    rerank: "Rerank | None"
    minus: tuple[str, ...]
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    part: PartSpec | None  # of each photo
    crop: "CropMode | None"  # how the part is found; None: it is given, or all of the photo
    columns: tuple[str, ...]
    fuse: bool
    explain: bool


class ResolvedQuery(NamedTuple):
    """What the query engine needs, and the columns to show beside hits."""

    plan: QueryPlan
    moves: tuple[Move, ...]  # of each query
    columns: Columns


def read(
    *,
    top_k: int = 10,
    where: str | None = None,
    min_score: float | None = None,
    min_confidence: float | None = None,
    max_false_accepts: object = None,
    by: str = "product",
    pool: "Pool | None" = None,
    rerank: str | None = None,
    minus: Sequence[str] = (),
    right: Sequence[str] = (),
    wrong: Sequence[str] = (),
    crop: str | None = None,
    columns: Sequence[str] = (),
    fuse: bool = False,
    explain: bool = False,
) -> QueryOptions:
    """Return the options of a query; raises UsageError for invalid ones.

    Args:
        top_k: hits of a query, 1 or more.
        where: SQL expression over the catalog's columns.
        min_score: least cosine of a hit, in [-1, 1].
        min_confidence: least probability of a product, in [0, 1].
        max_false_accepts: share of photos of unknown products that may be answered, in (0, 1), or text such as "5%".
        by: product or image.
        pool: max, top3, mean or vote; None: as training fitted.
        rerank: a method with its settings: "aqe:k=5".
        minus: products, indexed images or photos, with a weight or without: "mug-tall:0.3".
        right: indexed products or images that hits should resemble.
        wrong: indexed products or images that are no hits.
        crop: "x,y,width,height" in pixels or percent; auto or each.
        columns: of the catalog, to be shown beside hits.
        fuse: whether all photos show one product.
        explain: whether answers have their stages.
    """
    if by not in ("product", "image"):
        raise UsageError(f"invalid --by {by}", hint="--by product or --by image")
    if pool is not None and by != "product":
        raise UsageError("--pool only works with --by product, the default", hint=f"--pool {pool}")
    mode: CropMode | None = "auto" if crop == "auto" else "each" if crop == "each" else None
    if fuse and mode == "each":
        raise UsageError("--crop each gives several answers, --fuse one", hint="--crop auto")
    rate = _rate(max_false_accepts)
    if rate is not None and min_score is not None:
        raise UsageError("--max-false-accepts and --min-score exclude each other", hint="remove one of them")
    return QueryOptions(
        top_k=top_k,
        where=where,
        min_score=min_score,
        min_confidence=min_confidence,
        max_false_accepts=rate,
        by_product=by == "product",
        pool=pool,
        rerank=_reranking(rerank) if rerank else None,
        minus=tuple(minus),
        right=tuple(right),
        wrong=tuple(wrong),
        part=query_inputs.box(crop) if crop and mode is None else None,
        crop=mode,
        columns=tuple(columns),
        fuse=fuse,
        explain=explain,
    )


def resolve(
    options: QueryOptions, gallery: Gallery, items: ItemTable, model: "Model | None", *, files: bool = True
) -> ResolvedQuery:
    """Resolve the options against an index and its model.

    Args:
        options: the options.
        gallery: what is searched in.
        items: its item table.
        model: of the gallery; None: not known, so there are no probabilities, and products have their best image's
            score.
        files: whether options may name files on this disk.

    Raises:
        UsageError: the index does not have what the options name.
        CannotRun: the model cannot do what the options need.
    """
    if options.top_k > gallery.most and gallery.images > gallery.most:
        most = gallery.most
        raise UsageError(f"{gallery.place} returns at most {most} hits, not {options.top_k}", hint=f"-k {most}")
    columns = _columns(options.columns, items)
    if options.rerank is not None:
        _warn_of_few_images(options.rerank, items)
    moves, without = feedback.read(options.minus, options.right, options.wrong, gallery, items, files=files)
    likely = _answer_model(model, gallery, options.min_confidence is not None, bool(moves))
    rate, min_score = options.max_false_accepts, options.min_score
    accepted = _accepted(likely, rate)
    if rate is not None and accepted is None:
        min_score = _calibrated(gallery, items, model, rate)
    plan = QueryPlan(
        top_k=options.top_k,
        min_score=min_score,
        min_match=accepted,
        min_confidence=options.min_confidence,
        answers=likely,
        among=items.where(options.where) if options.where is not None else None,
        rerank=options.rerank,
        pool=_pool(options, model) if options.by_product else None,
        fuse=options.fuse,
        explain=options.explain,
        crop=options.crop,
        columns=columns.decimals if columns.chosen else None,
        without=without,
    )
    # a part is of photos, which only --minus can name
    targets = query_inputs.parts((move.target for move in moves), options.part)
    return ResolvedQuery(plan, tuple(map(Move, targets, (move.weight for move in moves))), columns)


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


def _reranking(text: str) -> "Rerank":
    from dmlcli.search.rerank import parse

    return parse(text)


def _columns(asked: Sequence[str], items: ItemTable) -> Columns:
    """Return the columns to show beside hits: the chosen ones, else all."""
    known = {"category": 0, **items.columns()}
    if not asked:
        return Columns(known)
    from dmlcli.search import shown_columns

    return shown_columns.chosen(asked, known)


def _warn_of_few_images(way: "Rerank", items: ItemTable) -> None:
    """Warn if a re-ranking method needs more images per product."""
    if way.name != "k-reciprocal":
        return
    usual = items.usual_images()
    if usual < _ENOUGH_IMAGES:
        progress.warn(
            f"--rerank k-reciprocal compares neighbors, and half of the products have {usual:g} images or fewer: "
            "Recall@1 may be lower than without it (measure it with dmlcli eval --rerank all)"
        )


def _answer_model(model: "Model | None", gallery: Gallery, needed: bool, moved: bool) -> "AnswerModel | None":
    """Return the probabilities of answers that cross-validation fitted; None where it fitted none.

    Args:
        model: of the gallery; None: not known.
        gallery: that is searched.
        needed: whether to raise CannotRun instead of returning None.
        moved: whether queries move away from their photos, for which there are no probabilities.
    """
    if moved:
        if needed:
            raise UsageError(
                "--min-confidence cannot be combined with --minus PHOTO, --right or --wrong: queries that have moved "
                "have no probabilities",
                hint="use --min-score; or --minus PRODUCT, which only removes a product",
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


def _pool(options: QueryOptions, model: "Model | None") -> "Pool":
    """Return what products are ranked by: as asked, else as the model chose; by their best image after re-ranking."""
    if options.pool is not None:
        return options.pool
    return model.record.product_weight if model is not None and options.rerank is None else "max"


def _calibrated(gallery: Gallery, items: ItemTable, model: "Model | None", rate: float) -> float:
    """Return the least cosine for a false accept rate, estimated from the index, printed and stored next to it."""
    from dmlcli.search import calibration

    training = None
    if model is not None and model.record.brings_products_together:
        open_set = model.record.scores.get("open_set")
        training = calibration.Training(model.record.products, open_set["threshold"] if open_set else None)
    found = calibration.of_gallery(gallery, items, training, 1 - rate)
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
