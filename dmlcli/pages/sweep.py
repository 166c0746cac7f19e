"""A sweep as one page (`sweep --html`): scores, the course of the search, and the importance of each setting."""

from itertools import accumulate
from pathlib import Path

from dmlcli import storage
from dmlcli.pages import line_chart
from dmlcli.pages.line_chart import Chart
from dmlcli.pages.rendering import render, today
from dmlcli.report.sweep import SweepReport

_SHOWN = 30  # trials in the table
_METRICS = {"map@r": "MAP@R", "recall@1": "Recall@1"}


def write(target: Path, report: SweepReport, catalog: str) -> None:
    """Write the page of a sweep, whole or not at all.

    Args:
        target: the file of the page.
        report: what `sweep` returns.
        catalog: its name.
    """
    finished = [one for one in report.trials if one.score is not None]
    page = render(
        "sweep.html",
        {"catalog": catalog, "trials": str(len(report.trials)), "date": today()},
        report=report,
        best=finished[0],
        default=next((one for one in finished if one.is_default), None),
        pruned=sum(one.outcome == "pruned" for one in report.trials),
        failed=sum(one.outcome == "failed" for one in report.trials),
        finished=finished[:_SHOWN],
        metrics=_METRICS,
        history=_history(report),
        chart_size=(line_chart.WIDTH, line_chart.HEIGHT),
    )
    storage.write_text(target, page)


def _history(report: SweepReport) -> Chart:
    """Return the chart of the finished trials in the order of their numbers."""
    rows = sorted((one.number, 100 * one.score) for one in report.trials if one.score is not None)
    scores = [score for _, score in rows]
    series = {"trial": scores, "best": list(accumulate(scores, max))}
    numbers, ends = [number for number, _ in rows], (min(scores), max(scores))
    return line_chart.line_chart("MAP@R of each finished trial, percent", numbers, series, ends=ends)
