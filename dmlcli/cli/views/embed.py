"""Embedding report."""

from dmlcli.cli import formatting
from dmlcli.report.embed import EmbedReport


def show(report: EmbedReport) -> None:
    """Show it as text."""
    known = report.images - report.computed
    formatting.facts(
        [
            ("embeddings", report.output),
            ("images", f"{report.images}  ({report.computed} computed, {known} known)"),
            ("length", f"{report.dim}, {report.dtype}" + (f", average of {report.views}" if report.views else "")),
            ("model", report.model),
        ]
    )
