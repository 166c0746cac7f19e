"""What is said of a server that has ended."""

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.report.serve import ServeReport


def show(report: ServeReport) -> None:
    """Print how long the server ran."""
    formatting.row(printable.text(f"{report.url} stopped after {report.seconds:.0f} s"))
