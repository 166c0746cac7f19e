"""Progress events of the core: `track` a loop, `note` a fact, `warn`, and `learned` for an epoch.

A command of several stages names them first, with the seconds that each is expected to take (`plan`), then begins one
after the other (`stage`), and corrects what it expects of those to come (`expect`).

Silent by default (warnings become Python warnings), so that the Python API stays quiet; the command line installs a
listener that draws the bar and writes to stderr.
"""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Pass(NamedTuple):
    """One row of the table of epochs on the terminal, one field for each column."""

    depth: str  # of training: head, top or all
    number: int  # from 1
    passes: int  # in all, where training does not stop earlier
    loss: float
    rate: float  # learning rate of the head
    active: float  # share of the images that had a gradient
    scores: Mapping[str, tuple[float, tuple[float, float] | None]]  # MAP@R of each search, and its 95 % interval
    is_best: bool  # so far
    images_a_second: float
    seconds: float


class Listener(Protocol):
    """The interface of listeners; the command line installs one."""

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """Yield the items and report progress.

        Args:
            items: the items.
            label: what is done.
            total: the number of items; None: unknown.
        """
        ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def learned(self, one: Pass) -> None: ...

    def plan(self, seconds: Mapping[str, float]) -> None: ...

    def stage(self, name: str, parts: int) -> None: ...

    def parts(self, count: int) -> None: ...

    def expect(self, name: str, seconds: float) -> None: ...


class Silent:
    """The listener of the Python API."""

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """Yield the items.

        Args:
            items: the items.
            label: not used.
            total: not used.
        """
        yield from items

    def note(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        warnings.warn(message, stacklevel=3)

    def learned(self, one: Pass) -> None:
        pass

    def plan(self, seconds: Mapping[str, float]) -> None:
        pass

    def stage(self, name: str, parts: int) -> None:
        pass

    def parts(self, count: int) -> None:
        pass

    def expect(self, name: str, seconds: float) -> None:
        pass


class _Muted(Silent):
    """The listener of work that is done many times."""

    def warn(self, message: str) -> None:
        pass


class _Times:
    """How long each stage has taken."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._current, self._began = "", 0.0

    def begin(self, name: str) -> None:
        now = time.monotonic()
        if self._current:
            self.seconds[self._current] = self.seconds.get(self._current, 0.0) + now - self._began
        self._current, self._began = name, now


_times = _Times()
_listener: Listener = Silent()


def listen(listener: Listener) -> None:
    """Install the listener that hears everything from now on."""
    global _listener
    _listener = listener


@contextmanager
def muted() -> Iterator[None]:
    """Inside, nothing is reported: for work whose caller reports it, such as one of many trainings."""
    global _listener
    before, _listener = _listener, _Muted()
    try:
        yield
    finally:
        _listener = before


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items and report progress.

    Args:
        items: the items.
        label: what is done.
        total: the number of items; None: their length, if they have one.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    return _listener.track(items, label, total)


def note(message: str) -> None:
    """Say a fact a person at the terminal wants to know and a script does not."""
    _listener.note(message)


def warn(message: str) -> None:
    """Say something that may make the result worse than expected."""
    _listener.warn(message)


def learned(one: Pass) -> None:
    """Say how a pass of training went."""
    _listener.learned(one)


def plan(seconds: Mapping[str, float]) -> None:
    """Name all stages of a command, in their order, with the seconds that each is expected to take."""
    global _times
    _times = _Times()
    _listener.plan(seconds)


def stage(name: str, parts: int = 1) -> None:
    """Begin a stage, which ends the one before; "" ends the last one.

    Args:
        name: as in `plan`.
        parts: how many loops (`track`) of about the same length it consists of.
    """
    _times.begin(name)
    _listener.stage(name, parts)


def parts(count: int) -> None:
    """Correct how many loops the current stage consists of."""
    _listener.parts(count)


def expect(name: str, seconds: float) -> None:
    """Correct the seconds that a stage is expected to take."""
    _listener.expect(name, seconds)


def stage_seconds() -> dict[str, float]:
    """Return how long each stage that has ended took."""
    return dict(_times.seconds)
