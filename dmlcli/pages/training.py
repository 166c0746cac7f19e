"""A training run as one page (`train --html`): scores, curves, a map of the products, and confused pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dmlcli import storage
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Embeddings
from dmlcli.pages import line_chart, product_map
from dmlcli.pages.line_chart import Chart
from dmlcli.pages.rendering import render
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
        report=report,
        gain=gain,
        stages=_curves(rows),
        chart_size=(line_chart.WIDTH, line_chart.HEIGHT),
        map_size=(product_map.WIDTH, product_map.HEIGHT, product_map.SIDE),
        map=product_map.product_map(photos, embeddings) if embeddings is not None and enough else None,
        confused=product_map.confused_pairs(photos, embeddings) if embeddings is not None and enough else [],
    )
    storage.write_text(target, page)


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

    def percents(name: str) -> list[float]:
        return [100 * row[name] for row in epochs]

    def has(name: str) -> bool:
        return all(row.get(name) is not None for row in epochs)

    charts = []
    if has("loss"):
        charts.append(line_chart.line_chart("Loss", at, {"loss": [row["loss"] for row in epochs]}))
    scores = {shown: percents(name) for name, shown in _SCORES.items() if has(name)}
    if scores:
        charts.append(line_chart.line_chart("MAP@R in validation, percent", at, scores, level))
    rates = [row["learning_rate"] for row in epochs]
    charts.append(line_chart.line_chart("Learning rate of the head", at, {"rate": rates}))
    active = {"active": percents("active")}
    charts.append(line_chart.line_chart("Images with a gradient, percent", at, active, ends=(0.0, 100.0)))
    return charts
