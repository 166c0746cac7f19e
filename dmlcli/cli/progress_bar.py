"""Progress on stderr: bars on a terminal, else lines, or JSON Lines for programs."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from dmlcli import printable
from dmlcli.cli.live_table import LiveTable, bar
from dmlcli.cli.progress_lines import Heartbeat, JsonLines, PlainLines
from dmlcli.cli.run_clock import RunClock
from dmlcli.progress import Pass

T = TypeVar("T")
_WORTH_TELLING = 3.0  # seconds; what is over sooner needs no lines in a log
_BEAT = 1.0  # seconds between two progress lines of JSON


class Teller:
    """The progress listener of the command line."""

    def __init__(self, quiet: bool = False, progress: str = "auto") -> None:
        """`quiet`: show warnings only; `progress`: auto, or jsonl for JSON Lines."""
        self.quiet = quiet
        self._lines = JsonLines() if progress == "jsonl" else PlainLines()
        is_terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._draws = not quiet and progress != "jsonl" and is_terminal
        self._live: LiveTable | None = None
        self._clock: RunClock | None = None
        self._heartbeat: Heartbeat | None = None
        self._warned: set[str] = set()

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """Yield the items, with a progress bar or a line per tenth.

        Args:
            items: the items.
            label: what is done.
            total: the number of items; None: unknown.
        """
        if self._clock is not None:
            items = self._counted(items, total)
        if self.quiet or total == 0:
            yield from items
        elif self._live is not None:
            yield from self._live.track(items, label, total)
        elif self._draws:
            yield from _bar(items, label, total)
        elif self._clock is not None:  # lines for the whole run are shown instead
            yield from items
        else:
            yield from self._counted_lines(items, label, total)

    def note(self, message: str) -> None:
        if self.quiet:
            return
        if self._live is not None and self._clock is not None:
            self._live.say(message)
        else:
            self._close_table()
            self._lines.note(message)

    def warn(self, message: str) -> None:
        if message in self._warned:
            return  # once is enough
        self._warned.add(message)
        self._close_table()
        self._lines.warn(message)
        self._open_table()

    def learned(self, one: Pass) -> None:
        if self._clock is not None and one.depth == "head":
            self._clock.reach(one.number / one.passes)
        if not self._draws:
            if not self.quiet:
                self._lines.learned(one)
            return
        if self._live is not None and self._live.depth not in ("", one.depth):
            self._close_table()
        if self._live is None:
            self._live = LiveTable(self._clock)
        self._live.add(one)

    def plan(self, seconds: Mapping[str, float]) -> None:
        """Show the stages of a command, and from now on the time that is left."""
        if self.quiet:
            return
        self._clock = RunClock(seconds)
        self._lines.plan(self._clock)
        self._open_table()
        if not self._draws:
            self._heartbeat = Heartbeat(self._beat, _BEAT)

    def stage(self, name: str, parts: int) -> None:
        if self._clock is not None:
            self._clock.begin(name, parts)
            self._beat()

    def parts(self, count: int) -> None:
        if self._clock is not None:
            self._clock.correct(count)

    def expect(self, name: str, seconds: float) -> None:
        if self._clock is not None:
            self._clock.expect(name, seconds)

    def close(self) -> None:
        """Leave the bar as it is, and continue on the next line."""
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
        self._clock = None
        self._close_table()

    def _beat(self) -> None:
        clock = self._clock
        if clock is not None and not self._draws:
            self._lines.beat(clock)

    def _open_table(self) -> None:
        if self._draws and self._clock is not None and self._live is None:
            self._live = LiveTable(self._clock)

    def _close_table(self) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None

    def _counted(self, items: Iterable[T], total: int | None) -> Iterator[T]:
        """Yield the items, and tell the clock how many are done."""
        clock = self._clock
        for done, item in enumerate(items, start=1):
            yield item
            if clock is not None and total:
                clock.advance(min(1.0, done / total))
        if clock is not None:
            clock.end_part()

    def _counted_lines(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """Yield the items of a command without stages, and show a line for each tenth."""
        shown, started = 0, time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            if total and done * 10 // total > shown and time.monotonic() - started > _WORTH_TELLING:
                shown = done * 10 // total
                self._lines.counted(label, done, total)


def _bar(items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
    from rich.console import Console

    with bar(Console(stderr=True), transient=True) as drawn:
        yield from drawn.track(items, total=total, description=printable.text(label))
