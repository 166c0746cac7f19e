"""Plan of an evaluation (`eval --dry-run`)."""

from dmlcli.cli import formatting
from dmlcli.report.eval_plan import EvalPlan


def show(report: EvalPlan) -> None:
    """Show it as text."""
    formatting.facts(
        [
            ("protocol", f"{report.protocol} ({report.scope})"),
            ("queries", f"{report.queries} among {report.gallery} images, {report.dim} dimensions"),
            ("to embed", formatting.count(report.to_embed, "image")),
            ("peak memory", f"{report.peak_bytes / 2**20:.0f} MB in addition to the program"),
            ("search", f"about {formatting.seconds(report.seconds)}"),
        ]
    )
