"""A training run as one page (`train --html`): scores, curves, a map of the products, and confused pairs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dmlcli import storage
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Embeddings
from dmlcli.pages import line_chart, product_map
from dmlcli.pages.line_chart import Chart
from dmlcli.pages.rendering import percent, render, today
from dmlcli.report.train import TrainReport

_STAGES = {"head": "the head", "top": "the last stage", "all": "the whole network"}
_SCORES = {"seen": "seen", "unseen": "unseen", "map@r": "together"}  # of metrics.jsonl, with their names in the chart


def write(
    target: Path,
    report: TrainReport,
    rows: Sequence[Mapping[str, Any]],
    photos: Catalog,
    embeddings: Embeddings | None,
) -> None:
    """Write the page of a training run, whole or not at all.

    Args:
        target: the file of the page.
        report: what `train` returns.
        rows: of metrics.jsonl.
        photos: the catalog.
        embeddings: of the catalog by the final model; None: the page has neither map nor confused pairs.
    """
    enough = embeddings is not None and len(embeddings.items) > 2
    gain = None if report.score is None or report.frozen_score is None else report.score - report.frozen_score
    page = render(
        "training.html",
        {
            "catalog": photos.root.name or str(photos.root),
            "model": report.fingerprint,
            "run": report.run,
            "date": today(),
        },
        report=report,
        kept=_kept(report),
        gain=gain,
        stages=_curves(rows),
        chart_size=(line_chart.WIDTH, line_chart.HEIGHT),
        map_sizes=(product_map.SIDE, product_map.LETTER),
        map=product_map.product_map(photos, embeddings) if embeddings is not None and enough else None,
        confused=product_map.confused_pairs(photos, embeddings) if embeddings is not None and enough else [],
    )
    storage.write_text(target, page)


def _kept(report: TrainReport) -> str:
    """Return a sentence that says what was kept, and why."""
    if report.score is None or report.frozen_score is None:
        return f"Kept: {report.chosen}. Nothing was held out, so it was not compared with the frozen backbone."
    if report.reason:
        return f"Kept: {report.chosen}: {report.reason}."
    return (
        f"Kept: {report.chosen}. Its MAP@R on held-out photos is {percent(report.score)}, that of the frozen backbone "
        f"{percent(report.frozen_score)}. A network after gradient training is kept only if it is 1 % better than the "
        "LDA head, and nothing that is below the frozen backbone for seen or unseen products."
    )


def _percent_ends(scores: Mapping[str, Sequence[float]], level: float | None) -> tuple[float, float]:
    """Return the ends of an axis of percentages: at least 20 points, so that small differences look small."""
    values = [value for numbers in scores.values() for value in numbers] + ([] if level is None else [level])
    high = min(100.0, 10 * math.ceil(max(values) / 10))
    return max(0.0, min(10 * math.floor(min(values) / 10), high - 20)), high


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Chart]]]:
    """Return the charts of each stage under their heading; none if no epoch was trained."""
    epochs = [row for row in rows if row.get("epoch")]
    level = next((100 * row["map@r"] for row in rows if not row.get("epoch") and row.get("map@r") is not None), None)
    stages = list(dict.fromkeys(row.get("stage", "") for row in epochs))
    curves = []
    for stage in stages:
        title = f"Curves: {_STAGES[stage]}" if len(stages) > 1 and stage in _STAGES else "Curves"
        curves.append((title, _charts([row for row in epochs if row.get("stage", "") == stage], level)))
    return curves


def _charts(epochs: Sequence[Mapping[str, Any]], level: float | None) -> list[Chart]:
    """Return the charts of the epochs of one stage.

    Args:
        epochs: rows of metrics.jsonl.
        level: MAP@R of the LDA head in percent.
    """
    at = [row["epoch"] for row in epochs]
    scored = [row for row in epochs if row.get("map@r") is not None]  # with a budget perhaps the last alone

    def percents(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
        return [100 * row[name] for row in rows]

    def have(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
        return bool(rows) and all(row.get(name) is not None for row in rows)

    charts = []
    if have(epochs, "loss"):
        charts.append(line_chart.line_chart("Loss", at, {"loss": [row["loss"] for row in epochs]}))
    scores = {shown: percents(scored, name) for name, shown in _SCORES.items() if have(scored, name)}
    if scores:
        ends, places = _percent_ends(scores, level), [row["epoch"] for row in scored]
        charts.append(line_chart.line_chart("MAP@R in validation, percent", places, scores, level, ends))
    rates = [row["learning_rate"] for row in epochs]
    charts.append(line_chart.line_chart("Learning rate of the head", at, {"rate": rates}))
    active = {"active": percents(epochs, "active")}
    charts.append(line_chart.line_chart("Images with a gradient, percent", at, active, ends=(0.0, 100.0)))
    return charts
