"""Content of the workspace, and the next command."""

from dmlcli.cli import formatting
from dmlcli.report.status import RunRow, StatusReport

_RUNS = 5  # shown, the newest first; --format json has all


def show(report: StatusReport) -> None:
    """Show it as text."""
    if report.workspace is None:
        formatting.say("no workspace in this folder or above it")
    else:
        rows = [("workspace", report.workspace)]
        rows += [(name, value) for name, value in (report.model or {"model": "none"}).items()]
        for name, made in (("embeddings", report.embeddings), ("index", report.index)):
            rows.append(
                (name, f"{made['images']} images, {made['dim']} dimensions, of {made['root']}" if made else "none")
            )
        rows += [("run" if one is report.runs[-1] else "", _run(one)) for one in report.runs[: -_RUNS - 1 : -1]]
        formatting.facts(rows)
    formatting.cautions(report.cautions)
    formatting.hint(report.next)


def _run(run: RunRow) -> str:
    score = "" if run.score is None else f", MAP@R {formatting.percent(run.score)}"
    chosen = f", {run.chosen} selected" if run.chosen else ""
    return f"{run.id}  {run.state}, {formatting.count(run.epochs, 'epoch')}{score}{chosen}"
