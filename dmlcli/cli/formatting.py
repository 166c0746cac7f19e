"""Tables, aligned facts, counts, percentages and hints for all views.

Names of files and products come from outside: all text goes out through these functions, which make it safe for a
terminal (`printable`). Results go to stdout, everything else to stderr; --quiet silences notes, not warnings.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import printable, progress
from dmlcli.cli import next_step

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from dmlcli.report.skipped import Skipped

SCHEMA = 1  # of all JSON that is printed
_LISTED = 10  # skipped inputs listed for each reason


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


def text(value: str, style: str = "", *, fold: bool = False) -> "Text":
    """Return a cell of a table.

    Args:
        value: shown as it is: brackets are not markup, and control characters are escaped.
        style: of rich, "" for plain.
        fold: break a long value anywhere instead of at spaces.
    """
    from rich.text import Text

    return Text(printable.text(value), style=style, overflow="fold" if fold else None)


def file_link(path: str, style: str = "") -> "Text":
    """Return the path of a file as a cell, which terminals that can open links make one."""
    from rich.style import Style

    cell = text(path, style, fold=True)
    if "\0" not in path:
        cell.stylize(Style(link=Path(path).absolute().as_uri()))
    return cell


def add_row(table: "Table", *cells: "str | Text", style: str = "") -> None:
    """Add a row to a table; cells of plain text are made safe."""
    table.add_row(*(text(cell) if isinstance(cell, str) else cell for cell in cells), style=style or None)


def facts(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values, aligned."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name:<{width}}  {value}")


def say(line: str) -> None:
    """Print one line of a result."""
    row(printable.text(line))


def row(line: str, *, flush: bool = False) -> None:
    """Print one line that is already escaped in one piece, so that a signal cannot split it."""
    sys.stdout.write(line + "\n")
    if flush:
        sys.stdout.flush()


def path(path: str, end: str = "\n") -> None:
    """Print a path byte for byte, for `xargs`, and flush."""
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None:  # a stream of text alone, as in a test
        print(path, end=end)
        return
    try:
        data = os.fsencode(path)
    except UnicodeEncodeError:  # recorded in another locale
        data = path.encode("utf-8", "surrogateescape")
    sys.stdout.flush()
    stream.write(data + end.encode())
    stream.flush()


def err(line: str) -> None:
    """Print one line to stderr, where there is one."""
    if sys.stderr is not None:  # as it is after 2>&-, and print would then write to stdout
        print(printable.text(line), file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print a remark to stderr, unless --quiet is given."""
    progress.note(message)


def hint(next_command: str) -> None:
    """Print the command to type next."""
    note(f"next: {next_step.complete(next_command)}")


def cautions(cautions: Sequence[str]) -> None:
    """Print warnings to stderr, each once."""
    for caution in cautions:
        progress.warn(next_step.complete(caution))


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    Args:
        number: the number.
        one: the noun in singular.
        many: the noun in plural; by default with an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def span(interval: tuple[float, float] | None, form: str = ".1f") -> str:
    return f"{100 * interval[0]:{form}} … {100 * interval[1]:{form}}" if interval else "-"


def skipped(failures: "Sequence[Skipped]") -> None:
    """List skipped inputs on stderr, those with the same reason together."""
    groups = defaultdict(list)
    for failure in failures:
        groups[failure.reason].append(failure.path)
    for reason, paths in groups.items():
        err(f"dmlcli: skipped {len(paths)}: {reason}")
        for path in paths[:_LISTED]:
            err(f"  {path}")
        if len(paths) > _LISTED:
            err(f"  … and {len(paths) - _LISTED} more (--format json lists all)")


def exit_code(failures: "Sequence[Skipped]", *, says_no: bool) -> int:
    """Return 3 if inputs were skipped, 1 if all went well and the answer is no, else 0."""
    return 3 if failures else int(says_no)
