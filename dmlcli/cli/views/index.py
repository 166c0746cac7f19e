"""Indexing report."""

from dmlcli.cli import formatting
from dmlcli.report.index import IndexReport


def show(report: IndexReport) -> None:
    """Show it as text."""
    speed = f", {report.microseconds:,.0f} µs per query" if report.microseconds is not None else ""
    quality = "exact" if report.recall == 1 and report.microseconds is None else f"recall@10 {report.recall:.3f}"
    found = f"{100 * (report.parity or 0):.1f} % of the ten nearest by exact search"
    parity = [("parity", found)] if report.parity is not None else []
    formatting.facts(
        [
            ("index", report.output),
            ("images", f"{formatting.count(report.images, 'image')} of {formatting.count(report.products, 'product')}"),
            ("changed", f"{report.added} added, {report.removed} removed"),
            ("kind", f"{report.kind}, {report.dim} dimensions"),
            ("search", f"{quality}{speed}, {report.memory / 1e6:,.1f} MB of memory"),
            *parity,
            ("why", report.why),
            ("model", report.model or "none: embeddings without a model"),
        ]
    )
    formatting.hint("dmlcli query img.jpg" + ("" if report.model else " --model MODEL"))
