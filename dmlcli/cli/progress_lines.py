"""Progress without a terminal: plain lines, or JSON Lines for programs."""

import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from dmlcli import printable
from dmlcli.cli import formatting
from dmlcli.cli.live_table import duration, scored
from dmlcli.cli.run_clock import RunClock
from dmlcli.progress import Pass


class Heartbeat:
    """Calls a function every second from a thread, so that progress is shown while nothing reports any."""

    def __init__(self, beat: Callable[[], None], seconds: float = 1.0) -> None:
        self._beat, self._seconds, self._ended = beat, seconds, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the calls."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._beat()


class PlainLines:
    """A line for the stages, then one for each tenth of the time."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None
        self._tenth = 0

    def plan(self, clock: RunClock) -> None:
        """Name the stages."""
        self._stream = sys.stderr  # which is replaced for a while when a network is exported
        self._write(f"stages: {', '.join(clock.stages)}; about {formatting.seconds(clock.left)}")

    def beat(self, clock: RunClock) -> None:
        """Show the progress if another tenth is done."""
        tenth = int(10 * clock.share)
        if tenth > self._tenth:
            self._tenth = tenth
            self._write(f"{10 * tenth} %: {clock.current}, {duration(clock.left)} left")

    def counted(self, label: str, done: int, total: int) -> None:
        """Show how many items of a command without stages are done.

        Args:
            label: what is done.
            done: number of items.
            total: number of items in all.
        """
        self._write(f"{label}: {done}/{total}")

    def note(self, message: str) -> None:
        """Show a fact."""
        self._write(message)

    def warn(self, message: str) -> None:
        """Show a warning."""
        self._write(f"dmlcli: warning: {message}")

    def learned(self, one: Pass) -> None:
        """Show an epoch."""
        self._write(epoch_line(one))

    def _write(self, line: str) -> None:
        _write(self._stream, printable.text(line))


class JsonLines:
    """An object for each event, with its name in `event`; progress at least every two seconds."""

    def __init__(self) -> None:
        self._stream: TextIO | None = None

    def plan(self, clock: RunClock) -> None:
        """Name the stages."""
        self._stream = sys.stderr  # which is replaced for a while when a network is exported
        self._write("plan", stages=clock.stages, left=round(clock.left, 1))

    def beat(self, clock: RunClock) -> None:
        """Show the progress."""
        shares = {"stage_share": round(clock.stage_share(), 3), "share": round(clock.share, 3)}
        times = {"elapsed": round(clock.elapsed, 1), "left": round(clock.left, 1)}
        self._write("progress", stage=clock.current, **shares, **times)

    def counted(self, label: str, done: int, total: int) -> None:
        """Show how many items of a command without stages are done.

        Args:
            label: what is done.
            done: number of items.
            total: number of items in all.
        """
        self._write("progress", stage=label, done=done, total=total)

    def note(self, message: str) -> None:
        """Show a fact."""
        self._write("note", message=message)

    def warn(self, message: str) -> None:
        """Show a warning."""
        self._write("warning", message=message)

    def learned(self, one: Pass) -> None:
        """Show an epoch."""
        scores = {name: {"map@r": score, "interval95": interval} for name, (score, interval) in one.scores.items()}
        values = {"stage": one.depth, "epoch": one.number, "epochs": one.passes, "learning_rate": one.rate}
        rest = {key: value for key, value in one._asdict().items() if key in ("loss", "active", "is_best", "seconds")}
        self._write("epoch", **values, **rest, scores=scores)

    def _write(self, event: str, **values: Any) -> None:
        _write(self._stream, printable.dumps({"event": event} | values))


def _write(stream: TextIO | None, line: str) -> None:
    """Write a line in one piece, to stderr for None; to nothing where stderr is closed (2>&-)."""
    stream = stream or sys.stderr
    if stream is not None:
        stream.write(line + "\n")
        stream.flush()


def epoch_line(one: Pass) -> str:
    """Return an epoch as a line of text."""
    scores = ", ".join(f"{name} products {scored(one, name)} %" for name in one.scores)
    shown = f"  MAP@R: {scores}{' *' if one.is_best else ''}" if scores else ""
    facts = f"loss {one.loss:8.4f}  rate {one.rate:.1e}  active {100 * one.active:.0f} %"
    pace = f"{one.images_a_second:.0f} images/s, {one.seconds:.1f} s"
    return f"{one.depth}, epoch {one.number}/{one.passes}  {facts}{shown}  {pace}"
