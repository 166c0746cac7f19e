"""Progress on stderr: a bar on a terminal, else one line per tenth."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.cli.live_table import LiveTable, bar, scored
from dmlcli.progress import Pass

T = TypeVar("T")
_WORTH_TELLING = 3.0  # seconds; what is over sooner needs no lines in a log


class Teller:
    """The progress listener of the command line."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._draws = not quiet and sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._live: LiveTable | None = None
        self._warned: set[str] = set()

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """Yield the items, with a progress bar or a line per tenth.

        Args:
            items: the items.
            label: what is done.
            total: the number of items; None: unknown.
        """
        if self.quiet or total == 0:
            yield from items
        elif self._live is not None:
            yield from self._live.track(items, label, total)
        elif self._draws:
            yield from _bar(items, label, total)
        else:
            yield from _lines(items, label, total)

    def note(self, message: str) -> None:
        self.close()
        if not self.quiet:
            formatting.err(message)

    def warn(self, message: str) -> None:
        if message in self._warned:
            return  # once is enough
        self._warned.add(message)
        self.close()
        formatting.err(f"dmlcli: warning: {message}")

    def learned(self, one: Pass) -> None:
        if not self._draws:
            if not self.quiet:
                formatting.err(_line(one))
            return
        if self._live is not None and self._live.depth != one.depth:
            self.close()
        if self._live is None:
            self._live = LiveTable()
        self._live.add(one)

    def close(self) -> None:
        """Leave the bar as it is, and continue on the next line."""
        if self._live is not None:
            self._live.close()
            self._live = None


def _bar(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    from rich.console import Console

    with bar(Console(stderr=True), transient=True) as drawn:
        yield from drawn.track(items, total=total, description=printable.text(label))


def _line(one: Pass) -> str:
    scores = ", ".join(f"{name} products {scored(one, name)} %" for name in one.scores)
    shown = f"  MAP@R: {scores}{' *' if one.is_best else ''}" if scores else ""
    facts = f"loss {one.loss:8.4f}  rate {one.rate:.1e}  active {100 * one.active:.0f} %"
    pace = f"{one.images_a_second:.0f} images/s, {one.seconds:.1f} s"
    return f"{one.depth}, epoch {one.number}/{one.passes}  {facts}{shown}  {pace}"


def _lines(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    shown, started = 0, time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if total and done * 10 // total > shown and time.monotonic() - started > _WORTH_TELLING:
            shown = done * 10 // total
            formatting.err(f"{label}: {done}/{total}")
