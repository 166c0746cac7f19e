"""Two models on the same queries."""

from collections.abc import Sequence

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.evaluation.metric_labels import metric_title
from dmlcli.report.models_diff import ModelsDiffReport, ScoreDifference

_DIGITS = 8  # of a fingerprint


def show(report: ModelsDiffReport) -> None:
    """Show it as text."""
    counted = (
        f"{formatting.count(report.queries, 'query', 'queries')} of {formatting.count(report.products, 'product')}"
    )
    formatting.say(f"{counted}: {report.basis}")
    names = [printable.text(one[:_DIGITS]) for one in (report.first, report.second)]
    table = formatting.table("search", "metric", *names, "difference", "95 % interval", "")
    for column in range(2, 6):
        table.columns[column].justify = "right"
    for cells in difference_cells(report.scores):
        formatting.add_row(table, *cells)
    formatting.console().print(table)


def difference_cells(scores: Sequence[ScoreDifference]) -> list[list[str]]:
    """Return a row of cells for each search and metric."""
    return [
        [
            one.search,
            metric_title(one.metric),
            formatting.percent(one.first),
            formatting.percent(one.second),
            "-" if one.difference is None else f"{100 * one.difference:+.1f}",
            formatting.span(one.interval95, "+.1f"),
            "" if one.significant else "not significant",
        ]
        for one in scores
    ]
