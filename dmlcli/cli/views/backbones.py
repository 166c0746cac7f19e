"""All backbones in a table, or the details of one."""

from dataclasses import asdict

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.report.backbones import BackboneRow, BackbonesReport

TABLES = ("tsv",)
_WIDE = 100  # columns, in which the longest names have room
_SHORT = {"Apache-2.0": "Apache", "BSD-3-Clause": "BSD"}


def show(report: BackbonesReport) -> None:
    """Show it as text."""
    if len(report.backbones) == 1:
        _one(report.backbones[0])
    else:
        _all(report)
    if report.measured:
        formatting.note(f"ms: {report.measured}")


def print_table(report: BackbonesReport, format: str) -> None:
    """Print a heading and one line for each backbone.

    Args:
        report: what the command returned.
        format: `tsv`.
    """
    rows = [asdict(row) for row in report.backbones]
    formatting.row(printable.tsv(rows[0]))
    for row in rows:
        formatting.row(printable.tsv([_cell(value) for value in row.values()]))


def _all(report: BackbonesReport) -> None:
    table = formatting.table("backbone", "M", "px", "SOP", "In-Shop", *(["ms"] if report.measured else []), "licence")
    for column in range(1, len(table.columns) - 1):
        table.columns[column].justify = "right"
    table.add_column("here")
    table.padding = (0, 1, 0, 0)  # names need the room
    console = formatting.console()
    for row in report.backbones:
        name = formatting.text(row.name, fold=True)
        network, dot, checkpoint = row.name.partition(".")
        if console.width < _WIDE and dot:  # breaks where a name has its dot
            name = formatting.text(network, fold=True).append("\n").append(formatting.text(dot + checkpoint))
        if row.needs:
            name.append(" ").append(formatting.text(f"({', '.join(row.needs)})", "bold"))
        time = [_number(row.milliseconds)] if report.measured else []
        figures = [f"{row.parameters_millions:.1f}", str(row.pixels), _number(row.sop), _number(row.inshop), *time]
        licence = _SHORT.get(row.licence, row.licence)
        formatting.add_row(table, name, *figures, licence, "yes" if row.here else "no")
    console.print(table)
    formatting.note("M: millions of parameters; px: side of the input")
    formatting.note("SOP, In-Shop: published Recall@1 of the frozen features, in percent")
    formatting.hint("dmlcli backbones NAME; dmlcli compare CATALOG --backbones all-here")


def _one(row: BackboneRow) -> None:
    published = [f"{name} {score}" for name, score in (("SOP", row.sop), ("In-Shop", row.inshop)) if score is not None]
    rows = [
        ("backbone", row.name),
        ("needs", ", ".join(row.needs) or "-"),
        ("parameters", f"{row.parameters_millions:.1f} million"),
        ("input", f"{row.pixels} x {row.pixels} pixels"),
        ("features", str(row.dim)),
        ("licence", f"{row.licence}; {row.condition}" if row.condition else row.licence),
        ("published", f"Recall@1 {', '.join(published)} ({row.source})" if published else "-"),
        ("here", "yes" if row.here else "no"),
        ("file", row.file or "-"),
    ]
    if row.get and not row.here:
        rows.append(("to get", row.get))
    if row.sha256:
        rows.append(("sha256", row.sha256))
    if row.milliseconds is not None:
        rows.append(("ms", _number(row.milliseconds)))
    formatting.facts(rows)
    file = f" --weights {row.file}" if row.sha256 else ""
    formatting.hint(f"dmlcli train CATALOG --backbone {row.name}{file}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(value)
    return "" if value is None else str(value)
