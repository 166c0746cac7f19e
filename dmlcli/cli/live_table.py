"""Training progress on a terminal: a table with a row per epoch, and a progress bar below it."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from dmlcli import printable
from dmlcli.progress import Pass

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress
    from rich.table import Table

    from dmlcli.cli.run_clock import RunClock

T = TypeVar("T")
_SHOWN = 10  # passes; of earlier ones the best alone stays
_A_SECOND = 4  # redraws per second


class LiveTable:
    """The epochs of one stage of training; it stays on the terminal when it is closed."""

    def __init__(self, clock: "RunClock | None" = None) -> None:
        """`clock`: of a command of several stages, whose time that is left is shown in the last line."""
        from rich.console import Console
        from rich.live import Live

        self.depth = ""
        self._passes: list[Pass] = []
        self._began = time.monotonic()
        self._each = 0.0  # seconds from one epoch to the next, including evaluation
        self._bar, self._clock = bar(), clock
        console = Console(file=sys.stderr, highlight=False)  # as it is now: exporting a network replaces it
        self._live = Live(get_renderable=self._drawn, console=console, refresh_per_second=_A_SECOND)
        self._live.start()

    def add(self, one: Pass) -> None:
        """Show a pass that is done."""
        self.depth = one.depth
        self._passes.append(one)
        ended = time.monotonic()
        self._each = (ended - self._began) / len(self._passes) if len(self._passes) > 1 else one.seconds
        self._live.refresh()

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """Yield the items, with a progress bar below the table.

        Args:
            items: the items.
            label: the label of the bar.
            total: the number of items; None: unknown.
        """
        task = self._bar.add_task(printable.text(label), total=total)
        try:
            for item in items:
                yield item
                self._bar.advance(task)
        finally:
            self._bar.remove_task(task)

    def say(self, message: str) -> None:
        """Print a line above the table."""
        self._live.console.print(printable.text(message), markup=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the table as it is."""
        self._live.stop()

    def _drawn(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        parts: list[RenderableType] = [self._table()] if self._passes or self._clock is None else []
        parts += [self._bar] if self._bar.tasks else []
        parts += [Text(_run_line(self._clock))] if self._clock is not None else []
        return Group(*parts)

    def _table(self) -> "Table":
        from rich import box
        from rich.table import Table

        names = list(dict.fromkeys(name for one in self._passes for name in one.scores))
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
        for heading in ("epoch", "loss", "rate", "active", *(f"MAP@R {name}" for name in names), "img/s", "left"):
            table.add_column(heading, justify="right", no_wrap=True)
        best = max((one.number for one in self._passes if one.is_best), default=0)
        shown = self._passes[-_SHOWN:]
        earlier = [one for one in self._passes[:-_SHOWN] if one.number == best]
        for one in [*earlier, *shown]:
            scores = [scored(one, name) for name in names]
            left = duration(self._each * (one.passes - one.number)) if one is self._passes[-1] else ""
            number = f"{one.number}/{one.passes}"
            facts = (f"{one.loss:.4g}", f"{one.rate:.0e}", f"{100 * one.active:.0f} %")
            style = "bold" if one.number == best else ""
            table.add_row(number, *facts, *scores, f"{one.images_a_second:.0f}", left, style=style)
        return table


def _run_line(clock: "RunClock") -> str:
    """Return the current stage, the share that is done, and the time."""
    stages = clock.stages
    number = stages.index(clock.current) + 1 if clock.current in stages else len(stages)
    times = f"{duration(clock.elapsed)} elapsed, {duration(clock.left)} left"
    return f"{number}/{len(stages)} {clock.current or 'done'}  {100 * clock.share:.0f} %, {times}"


def bar(console: "Console | None" = None, *, transient: bool = False) -> "Progress":
    """Return a bar with what is done, of how much, and the time it takes."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),  # a file name may hold brackets
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
    )


def scored(one: Pass, name: str) -> str:
    """Return a score in percent, with half the width of its 95 % interval where there is one."""
    if name not in one.scores:
        return "-"
    score, interval = one.scores[name]
    return f"{100 * score:.1f}" + (f" ±{50 * (interval[1] - interval[0]):.1f}" if interval else "")


def duration(seconds: float) -> str:
    """Return a time as a clock shows it: 0:42, 12:05, 1:02:33."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
