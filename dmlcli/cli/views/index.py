"""What indexing made."""

from dmlcli.cli import look
from dmlcli.report import IndexReport


def show(report: IndexReport) -> None:
    """Show it as text."""
    look.facts(
        [
            ("index", report.output),
            ("images", f"{look.count(report.images, 'image')} of {look.count(report.products, 'product')}"),
            ("kind", f"{report.kind}, {report.dim} dimensions"),
            ("model", report.model or "none: bare embeddings"),
        ]
    )
    look.hint("dmlcli query img.jpg" if report.model else "dmlcli query img.jpg --model MODEL")
