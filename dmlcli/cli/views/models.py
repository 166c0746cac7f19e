"""The models of the workspace in a table."""

from dmlcli.cli import formatting
from dmlcli.report.models import ModelRow, ModelsReport

_DIGITS = 8  # of a fingerprint, or more where two begin with the same ones


def show(report: ModelsReport) -> None:
    """Show it as text."""
    if not report.models:
        formatting.say(f"no models in {report.workspace}")
        formatting.hint("dmlcli train CATALOG")
        return
    table = formatting.table("model", "", "written", "backbone", "selected", "MAP@R", "frozen", "trained on")
    for column in (5, 6):
        table.columns[column].justify = "right"
    digits = _digits([one.fingerprint for one in report.models])
    for one in report.models:
        scores = formatting.percent(one.score), formatting.percent(one.frozen_score)
        written = one.written[:16].replace("T", " ")
        formatting.add_row(
            table, one.fingerprint[:digits], _marks(one), written, one.backbone, one.chosen, *scores, one.catalog
        )
    formatting.console().print(table)
    others = [one.fingerprint[:digits] for one in report.models if not one.current]
    if others:
        formatting.hint(f"dmlcli models use {others[0]}, or dmlcli models diff {others[0]}")


def _marks(one: ModelRow) -> str:
    return ", ".join([*(["current"] if one.current else []), *(["indexed"] if one.indexed and not one.current else [])])


def _digits(fingerprints: list[str]) -> int:
    """Return how many digits name each model."""
    longest = max(len(one) for one in fingerprints)
    lengths = range(min(_DIGITS, longest), longest)
    return next((n for n in lengths if len({one[:n] for one in fingerprints}) == len(fingerprints)), longest)
