"""What the workspace holds, and the next command."""

from dmlcli.cli import look
from dmlcli.report import StatusReport

_RUNS = 5  # the last ones; --format json has them all


def show(report: StatusReport) -> None:
    """Show it as text."""
    if report.workspace is None:
        print("no workspace here or above")
    else:
        rows = [("workspace", report.workspace)]
        rows += [(name, value) for name, value in (report.model or {"model": "none"}).items()]
        for name, made in (("embeddings", report.embeddings), ("index", report.index)):
            rows.append(
                (name, f"{made['images']} images, {made['dim']} dimensions, of {made['root']}" if made else "none")
            )
        rows += [("run", f"{run['id']}  {run['state']}, of {run['catalog']}") for run in report.runs[-_RUNS:]]
        look.facts(rows)
    look.cautions(report.cautions)
    look.hint(report.next)
