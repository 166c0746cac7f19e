"""What a person sees of the work: a bar on a terminal, else one plain line per tenth; all of it on stderr."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
_WORTH_TELLING = 3.0  # seconds; what is over sooner needs no lines in a log


class Teller:
    """The progress listener of the command line."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        if self.quiet or total == 0:
            yield from items
        elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            yield from _bar(items, label, total)
        else:
            yield from _lines(items, label, total)

    def note(self, message: str) -> None:
        if not self.quiet:
            print(message, file=sys.stderr, flush=True)

    def warn(self, message: str) -> None:
        print(f"dmlcli: warning: {message}", file=sys.stderr, flush=True)


def _bar(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total, description=label)


def _lines(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    told, started = 0, time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if total and done * 10 // total > told and time.monotonic() - started > _WORTH_TELLING:
            told = done * 10 // total
            print(f"{label}: {done}/{total}", file=sys.stderr, flush=True)
