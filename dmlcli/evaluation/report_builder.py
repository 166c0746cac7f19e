"""The report of an evaluation, with comparisons to other models and to the literature."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import dmlcli
from dmlcli.catalog import Benchmark
from dmlcli.evaluation import published as literature
from dmlcli.evaluation.error_analysis import insight
from dmlcli.evaluation.inputs import Request, answer_model, comparison_sides, made_by
from dmlcli.evaluation.measure import EvalSides, Evaluation, measure, values_of
from dmlcli.evaluation.min_scores import MetricSelection
from dmlcli.evaluation.protocol import EXCLUSIONS, LEAVE_ONE_OUT, exclusion
from dmlcli.evaluation.query_results import Floats, QueryResults
from dmlcli.metrics import confidence
from dmlcli.metrics.geometry import shape
from dmlcli.report.eval import Against, EvalReport, Inflation, Reranked
from dmlcli.report.skipped import Skipped
from dmlcli.search.rerank import spell

_RECALL = (1, 5, 10)
_REORDERED = ("recall@1", "map@r")  # what is reported of every re-ranking


def recall(published: str | None, official: Benchmark | None) -> tuple[int, ...]:
    """Return the K of Recall@K that the papers report for a data set, else the usual ones."""
    if published is not None:
        return literature.BENCHMARKS[published].recall
    return official.recall_at if official is not None else _RECALL


def report(
    request: Request, sides: EvalSides, found: Evaluation, seed: int, skipped: Sequence[Skipped], missing_as_zero: bool
) -> EvalReport:
    """Return the report of one evaluation.

    Args:
        request: the options of `eval`.
        sides: the queries and gallery.
        found: the scores.
        seed: seed of the bootstrap.
        skipped: images that cannot be read.
        missing_as_zero: whether queries without a relevant image count as 0.
    """
    queries, gallery = sides.queries, sides.gallery
    products = found.results.products
    model = made_by(sides, request)
    intervals = confidence.intervals95(found.values, products, seed)
    warnings = [*found.warnings, *([inflated(found.inflation)] if found.inflation else [])]
    prints = {"queries": queries.fingerprint, "gallery": gallery.fingerprint}
    return EvalReport(
        protocol=sides.protocol,
        queries=len(queries.items) + sides.unknown,
        gallery=len(gallery.items),
        products=len(set(products)),
        trained_products=len(set(products) & set(model.record.products)) if model else 0,
        without_positive=sides.unknown + sum(len(ranks) == 0 for ranks in found.results.rankings),
        metrics=found.metrics,
        interval95={name: intervals.get(name) for name in found.metrics},
        model=str(model.folder) if model else None,
        seed=seed,
        caution=model.record.caution if model else "",
        skipped=tuple(skipped),
        scope=sides.scope,
        excluded=_excluded(sides),
        includes_training=sides.includes_training,
        missing_as_zero=missing_as_zero,
        warnings=tuple(warnings),
        inflation=found.inflation,
        reliability=found.reliability,
        insight=insight(
            found.results,
            queries.items,
            gallery.items,
            (queries.root, gallery.root),
            lambda query, count: _closest(sides, found.results, query, count),
            shape(gallery.vectors, [item.product for item in gallery.items]) if gallery.vectors is not None else {},
        ),
        fingerprints={"model": gallery.model} | prints if gallery.model else prints,
        versions={"dmlcli": dmlcli.__version__, "python": platform.python_version(), "numpy": np.__version__},
    )


def against(
    report: EvalReport, request: Request, sides: EvalSides, found: Evaluation, selection: MetricSelection, path: Path
) -> EvalReport:
    """Add the difference to another model on the same queries, with paired intervals.

    Args:
        report: the report to add it to.
        request: the options of `eval`.
        sides: the queries and gallery.
        found: the scores of the report.
        selection: the metrics.
        path: the other model or embeddings.
    """
    their_sides = comparison_sides(request, sides, path)
    theirs = answer_model(their_sides, request)
    other = measure(their_sides, selection, report.seed, report.missing_as_zero, answers=theirs)
    gaps = {name: values - other.values[name] for name, values in found.values.items()}
    compared = _compared(found.metrics, other.metrics, gaps, found.results.products, report.seed)
    return replace(report, against=Against(str(path), other.metrics, *compared))


def reranked(report: EvalReport, sides: EvalSides, found: Evaluation, selection: MetricSelection) -> EvalReport:
    """Add the difference of each re-ranking method to plain search, for metrics that depend on ranks only.

    Args:
        report: the report to add it to.
        sides: the queries and gallery.
        found: the scores with and without re-ranking.
        selection: the metrics.
    """
    names = list(dict.fromkeys([*selection.ranked, *_REORDERED]))
    products = found.results.products
    plain = values_of(found.results.rankings, names, sides, report.missing_as_zero)
    before = confidence.means(plain, products)
    rows = []
    for one in found.reranked:
        values = values_of(one.rankings, names, sides, report.missing_as_zero)
        after = confidence.means(values, products)
        gaps = {name: values[name] - plain[name] for name in names}
        compared = _compared(after, before, gaps, products, report.seed)
        rows.append(Reranked(spell(one.way), after, before, *compared, 1000 * one.seconds / max(len(one.rankings), 1)))
    return replace(report, reranked=tuple(rows))


def _compared(
    these: Mapping[str, float | None],
    those: Mapping[str, float | None],
    gaps: Mapping[str, Floats],
    products: Sequence[str],
    seed: int,
) -> tuple[dict[str, float | None], dict[str, tuple[float, float] | None], dict[str, bool]]:
    """Return by metric the difference of two scores, its paired interval, and whether it is significant."""
    intervals = confidence.intervals95(gaps, products, seed)
    pairs = [(name, these[name], those[name]) for name in these]
    difference = {name: a - b if a is not None and b is not None else None for name, a, b in pairs}
    spans = {name: intervals.get(name) for name in these}
    return difference, spans, {name: span is not None and (span[0] > 0 or span[1] < 0) for name, span in spans.items()}


def beside_published(report: EvalReport, name: str) -> EvalReport:
    """Add published results on a data set, and a warning if the protocol differs."""
    wrong = literature.objections(name, report.protocol, report.queries, report.gallery)
    report = replace(report, published=literature.published(name))
    if report.includes_training:
        wrong.append("they include products that the model was trained on")
    return replace(
        report, warnings=(*report.warnings, *(f"not comparable with published results: {why}" for why in wrong))
    )


def inflated(evidence: Inflation) -> str:
    """Return the warning about series, with its evidence."""
    kind = {
        "series": "a photo of the same series (same folder and file name but for the number, same split and source)",
        "neighbor": "the first or second neighbor by file number",
        "copy": "a copy of the query",
    }[evidence.kind]
    by_chance = f", {100 * evidence.expected:.0f} % by chance" if evidence.kind != "copy" else ""
    return (
        f"leave-one-out scores are inflated: the closest relevant photo is {kind} for {100 * evidence.share:.0f} % of "
        f"the correct answers{by_chance}. Without such photos, Recall@1 is {100 * evidence.without:.1f} % instead of "
        f"{100 * evidence.recall_at_1:.1f} %. Use separate queries (--queries, --query-split) or --exclude-same session"
    )


def _excluded(sides: EvalSides) -> str:
    own = ["its own row"] if sides.protocol == LEAVE_ONE_OUT else []
    return " and ".join(own + ([EXCLUSIONS[sides.same]] if sides.same else []))


def _closest(sides: EvalSides, results: QueryResults, query: int, count: int) -> list[tuple[int, float]]:
    """Return the first hits of one query with their similarity; of a ranked list only the first wrong one was kept."""
    queries, gallery = sides.queries, sides.gallery
    if queries.vectors is None or gallery.vectors is None:
        return [(int(results.wrong_row[query]), float(results.wrong[query]))]
    scores = gallery.vectors @ queries.vectors[query]
    excluded = exclusion(queries.items, gallery.items, sides.own_rows, sides.same)
    if excluded is not None:
        scores[excluded(query)] = -np.inf
    order = np.argsort(-scores, kind="stable")[:count]
    return [(int(row), float(scores[row])) for row in order if scores[row] > -np.inf]
