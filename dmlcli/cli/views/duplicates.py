"""Groups of near-identical images or products."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.errors import UsageError
from dmlcli.report.duplicates import DuplicatesReport, Group

_MOST_SHOWN = 20  # groups, to people
_MOST_MEMBERS = 10


def show(report: DuplicatesReport, format: str, nul: bool) -> int:
    """Print the groups; return 1 if there are none, else 0.

    Args:
        report: the groups.
        format: as `--format`.
        nul: separate paths by NUL.
    """
    if format == "paths" and report.of == "products":
        raise UsageError("--format paths lists images, but products were compared", hint="use --format tsv")
    if format == "paths":
        for group in report.groups:
            known = {group[0].image}
            for member in group[1:]:
                if member.image not in known:  # a photo with several boxes is named at most once
                    formatting.path(member.image, end="\0" if nul else "\n")
                    known.add(member.image)
    else:
        _WRITERS[format](report)
    sys.stdout.flush()
    formatting.cautions(report.cautions)
    return int(report.says_no)


def _table(report: DuplicatesReport) -> None:
    images = report.of == "images"
    for number, group in enumerate(report.groups[:_MOST_SHOWN], start=1):
        table = formatting.table(
            "score", "product", *(["image"] if images else []), title=formatting.text(f"group {number}")
        )
        table.columns[0].justify = "right"
        for member in group[:_MOST_MEMBERS]:
            image = [formatting.text(member.image, style="dim", fold=True)] if images else []
            formatting.add_row(table, f"{member.score:.3f}", member.product or "-", *image)
        if len(group) > _MOST_MEMBERS:
            more = formatting.text(f"… and {len(group) - _MOST_MEMBERS} more (--format jsonl lists all)", style="dim")
            table.add_row("", more, *([""] if images else []))
        formatting.console().print(table)
    if len(report.groups) > _MOST_SHOWN:
        print(f"… and {len(report.groups) - _MOST_SHOWN} more groups (--format jsonl lists all)")
    grouped = sum(len(group) for group in report.groups)
    found = f"{formatting.count(len(report.groups), 'group')} of {grouped} {report.of}" if grouped else "none"
    same = " that show the same picture" if report.by == "pixels" else ""
    print(f"{found}{same} at a cosine of {report.threshold:g} or more, among {report.searched} {report.of}")


def _rows(report: DuplicatesReport) -> Iterator[list[str]]:
    for number, group in enumerate(report.groups, start=1):
        for member in group:
            yield [str(number), f"{member.score:.6f}", member.product, member.image]


def _tsv(report: DuplicatesReport) -> None:
    for row in _rows(report):
        formatting.row(printable.tsv(row))


def _csv(report: DuplicatesReport) -> None:
    for row in (["group", "score", "product", "image"], *_rows(report)):
        formatting.row(printable.csv(row))


def _jsonl(report: DuplicatesReport) -> None:
    for number, group in enumerate(report.groups, start=1):
        formatting.row(printable.dumps({"schema": formatting.SCHEMA} | asdict(Group(number, group))))


def _json(report: DuplicatesReport) -> None:
    formatting.row(printable.dumps({"schema": formatting.SCHEMA} | asdict(report)))


_WRITERS: dict[str, Callable[[DuplicatesReport], None]] = {
    "table": _table,
    "tsv": _tsv,
    "csv": _csv,
    "jsonl": _jsonl,
    "json": _json,
}
