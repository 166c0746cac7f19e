"""Scores with their intervals."""

import sys

from dmlcli.cli import look
from dmlcli.report import EvalReport

_METRIC_NAMES = {
    "map@r": "MAP@R",
    "r_precision": "R-Precision",
    "recall@1": "Recall@1",
    "recall@5": "Recall@5",
    "recall@10": "Recall@10",
}


def show(report: EvalReport) -> None:
    """Show it as text."""
    queries = f"{look.count(report.queries, 'query', 'queries')} of {look.count(report.products, 'product')}"
    table = look.table("metric", "score", "95 % interval")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for name, score in report.metrics.items():
        interval = report.interval95[name]
        span = f"{100 * interval[0]:.1f} - {100 * interval[1]:.1f} %" if interval else "-"
        table.add_row(_METRIC_NAMES.get(name, name), look.percent(score) if score is not None else "-", span)
    print(f"{report.protocol}: {queries} among {look.count(report.gallery, 'image')}")
    look.console().print(table)
    if report.without_positive:
        print(
            f"{report.without_positive} queries have no image of their product to find and do not count",
            file=sys.stderr,
        )
    if report.trained_products:
        print(f"the model was trained on {report.trained_products} of these products", file=sys.stderr)
    look.cautions([report.caution] if report.caution else [])
    if report.says_no:
        print("dmlcli: no query has an image of its product to find, so there is no score", file=sys.stderr)
