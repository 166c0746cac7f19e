"""What embedding made."""

from dmlcli.cli import look
from dmlcli.report import EmbedReport


def show(report: EmbedReport) -> None:
    """Show it as text."""
    known = report.images - report.computed
    look.facts(
        [
            ("embeddings", report.output),
            ("images", f"{report.images}  ({report.computed} computed, {known} known)"),
            ("length", str(report.dim)),
            ("model", report.model),
        ]
    )
