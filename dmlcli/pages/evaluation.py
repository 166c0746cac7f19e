"""The report of `eval` as one page (`eval --html`): scores, then where the search fails, with photos."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.evaluation.metric_labels import metric_title
from dmlcli.evaluation.published import among
from dmlcli.pages.rendering import render, today
from dmlcli.pages.thumbnails import Thumbnail, thumbnail
from dmlcli.report.error_analysis import Confusion, GroupScore, Histogram, Insight, Miss
from dmlcli.report.eval import Against, CatalogScores, EvalReport, Reranked
from dmlcli.report.query import Part

_CARDS, _GROUPS, _PIXELS = 3, 200, 200
_HEIGHT = 100  # of the histogram, in the units of its outlines; a bin is one unit wide
_SHAPE = {
    "spectral_decay": "spectral decay (0: the same variance in all directions)",
    "directions50": "directions with 50 % of the variance",
    "directions90": "directions with 90 %",
    "directions99": "directions with 99 %",
    "intra": "mean distance within a product",
    "inter": "mean distance between products",
    "intra_inter": "ratio of the two (lower is better)",
}
_Photo = Callable[[str, Part], Thumbnail]


class _WorstProduct(NamedTuple):
    """A product with a photo that was not found and what came first instead, if anything."""

    score: GroupScore
    image: Thumbnail
    confused_with: Thumbnail


class _Pair(NamedTuple):
    """Two products that are confused, with a photo of each."""

    confusion: Confusion
    image: Thumbnail
    confused_with: Thumbnail


class _Miss(NamedTuple):
    """A query whose first hit is wrong, and the images of its hits."""

    miss: Miss
    image: Thumbnail
    hits: list[Thumbnail]


class _Difference(NamedTuple):
    """A metric of this ranking and of another one."""

    metric: str
    score: float | None
    difference: float | None
    interval: tuple[float, float] | None
    verdict: str


class _Groups(NamedTuple):
    """Scores of the products, or of the categories, the worst first."""

    title: str
    heading: str
    scores: Sequence[GroupScore]
    left_out: int


class _Published(NamedTuple):
    """A published result, or the one of this report among them."""

    method: str
    year: str
    network: str
    dim: str
    recall: list[float | None]
    source: str
    mark: str
    is_own: bool


def write(target: Path, report: EvalReport, catalog: str = "") -> None:
    """Write the page of an evaluation, whole or not at all.

    Args:
        target: the file of the page.
        report: what `eval` returns.
        catalog: its name; empty where it is not known.
    """
    names = _recall_names(report)
    page = render(
        "evaluation.html",
        _heading(report, catalog),
        report=report,
        notes=_notes(report),
        scores=[(metric_title(name), value, report.interval95[name]) for name, value in report.metrics.items()],
        analysis=None if report.insight is None else _analysis(report.insight),
        against=None if report.against is None else _differences(report.against, report.against.metrics),
        by_catalog=[(one, _catalog_scores(one)) for one in report.by_catalog],
        reranked=[(way, _differences(way, way.metrics)) for way in report.reranked],
        recall_titles=[metric_title(name) for name in names],
        published=_published(report, names) if report.published else [],
        provenance=_provenance(report),
    )
    storage.write_text(target, page)


def _heading(report: EvalReport, catalog: str) -> dict[str, str]:
    """Return what is written below the title."""
    facts = {"catalog": catalog, "model": report.fingerprints.get("model", ""), "protocol": report.protocol}
    return {name: value for name, value in facts.items() if value} | {"date": today()}


def _notes(report: EvalReport) -> list[str]:
    """Return what to know before the scores are read."""
    notes = [report.caution, *report.warnings] if report.caution else [*report.warnings]
    if report.without_positive:
        counted = "count as 0" if report.missing_as_zero else "do not count"
        notes.append(f"{report.without_positive} queries have no image of their product to find and {counted}.")
    if report.trained_products:
        notes.append(f"The model was trained on {report.trained_products} of these products.")
    return notes


def _analysis(insight: Insight) -> dict[str, Any]:
    """Return what the sections on errors show."""
    photo = cache(_thumbnail)  # many an image is in several sections
    groups = (("Products", "product", insight.products), ("Categories", "category", insight.categories))
    return {
        "worst": [_worst(one, photo) for one in insight.products[:_CARDS] if one.recall_at_1 < 1],
        "misses": [_miss(one, photo) for one in insight.misses],
        "pairs": [_pair(one, photo) for one in insight.confusions],
        "histogram": insight.histogram and _histogram(insight.histogram),
        "thresholds": insight.thresholds,
        "groups": [
            _Groups(title, heading, scores[:_GROUPS], max(0, len(scores) - _GROUPS))
            for title, heading, scores in groups
            if scores
        ],
        "shape": [(_SHAPE[name], value) for name, value in insight.shape.items()],
    }


def _thumbnail(path: str, box: Part) -> Thumbnail:
    return thumbnail(Path(path).name, Photo(Path(path), box), _PIXELS) if path else Thumbnail("")


def _worst(score: GroupScore, photo: _Photo) -> _WorstProduct:
    return _WorstProduct(score, photo(score.image, score.box), photo(score.taken_for_image, score.taken_for_box))


def _miss(miss: Miss, photo: _Photo) -> _Miss:
    return _Miss(miss, photo(miss.query, miss.box), [photo(hit.image, hit.box) for hit in miss.hits])


def _pair(one: Confusion, photo: _Photo) -> _Pair:
    return _Pair(one, photo(one.image, one.box), photo(one.taken_for_image, one.taken_for_box))


def _differences(other: Against | Reranked, scores: dict[str, float | None]) -> list[_Difference]:
    """Return the metrics of another ranking or model, each with the difference and whether it is significant."""
    rows = []
    for name, gap in other.difference.items():
        is_clear = gap is not None and other.significant[name]
        verdict = ("better" if gap and gap > 0 else "worse") if is_clear else "not significant"
        rows.append(_Difference(metric_title(name), scores[name], gap, other.interval95[name], verdict))
    return rows


def _catalog_scores(one: CatalogScores) -> list[tuple[str, float | None, tuple[float, float] | None]]:
    """Return title, score and interval of each metric."""
    return [(metric_title(name), score, one.interval95[name]) for name, score in one.metrics.items()]


def _histogram(histogram: Histogram) -> dict[str, Any]:
    """Return outlines of both counts as SVG points, and the numbers below them."""
    highest = max(1, *histogram.right, *histogram.wrong)

    def outline(counts: Sequence[int]) -> str:
        points = [(0.0, float(_HEIGHT))]
        for place, count in enumerate(counts):
            top = _HEIGHT * (1 - count / highest)
            points += [(place, top), (place + 1, top)]
        points.append((len(counts), _HEIGHT))
        return " ".join(f"{x:g},{y:.1f}" for x, y in points)

    step = (histogram.high - histogram.low) / 4
    return {
        "size": (len(histogram.right), _HEIGHT),
        "outlines": [("accent", outline(histogram.wrong)), ("good", outline(histogram.right))],
        "ticks": [histogram.low + place * step for place in range(5)],
    }


def _recall_names(report: EvalReport) -> list[str]:
    return list(dict.fromkeys(name for row in report.published for name in row.recall))


def _published(report: EvalReport, names: Sequence[str]) -> list[_Published]:
    """Return the published results and this one, by Recall@1."""
    return [
        _Published(
            method=row.method,
            year="" if is_own else str(row.year),
            network=row.network,
            dim="" if is_own else str(row.dim or "-"),
            recall=[row.recall.get(name) for name in names],
            source=row.source,
            mark=row.mark,
            is_own=is_own,
        )
        for row, is_own in among(report)
    ]


def _provenance(report: EvalReport) -> dict[str, str]:
    """Return what is needed to repeat the evaluation."""
    return {
        "seed": str(report.seed),
        "model": report.model or "not known",
        **{f"fingerprint of {name}": value for name, value in report.fingerprints.items()},
        **report.versions,
        "inputs left out": str(len(report.skipped)),
    }
