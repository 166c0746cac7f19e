"""How things look: tables, aligned facts, counts and percentages, the next command. What every view is made of."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dmlcli.cli import next_step
from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SCHEMA = 1  # of all JSON that is printed
_LISTED = 10  # skipped inputs told by name for each reason


def console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def table(*headings: str, title: "Text | None" = None) -> "Table":
    from rich import box
    from rich.table import Table

    return Table(
        *headings,
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="dim",
    )


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values, aligned."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def hint(next_command: str) -> None:
    print(f"next: {next_step.complete(next_command)}", file=sys.stderr)


def cautions(cautions: Sequence[str]) -> None:
    for caution in cautions:
        print(f"dmlcli: warning: {next_step.complete(caution)}", file=sys.stderr)


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def span(interval: tuple[float, float] | None, form: str = ".1f") -> str:
    return f"{100 * interval[0]:{form}} … {100 * interval[1]:{form}}" if interval else "-"


def escaped(cell: str) -> str:
    """A cell that cannot break its line: tab, newline and backslash as \\t, \\n and \\\\."""
    return (
        cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
        if any(c in cell for c in "\\\t\n")
        else cell
    )


def skipped(failures: Sequence[Skipped]) -> None:
    """List skipped inputs on stderr, those with the same reason together."""
    groups = defaultdict(list)
    for failure in failures:
        groups[failure.reason].append(failure.path)
    for reason, paths in groups.items():
        print(f"dmlcli: skipped {len(paths)}: {reason}", file=sys.stderr)
        for path in paths[:_LISTED]:
            print(f"  {path}", file=sys.stderr)
        if len(paths) > _LISTED:
            print(f"  … and {len(paths) - _LISTED} more (--format json lists all)", file=sys.stderr)


def exit_code(failures: Sequence[Skipped], *, says_no: bool) -> int:
    """3 where inputs were skipped, 1 where all went well and the answer is no, else 0."""
    return 3 if failures else int(says_no)
