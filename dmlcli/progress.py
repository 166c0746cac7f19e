"""How the core tells what it is doing: `track` a loop, `note` a fact, `warn` of a danger.

Silent by default (warnings become Python warnings), so that the Python API stays quiet; the command line installs a
listener that draws the bar and writes to stderr.
"""

import warnings
from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar

T = TypeVar("T")


class Listener(Protocol):
    """What the command line installs."""

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]: ...

    def note(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...


class Silent:
    """The listener of the Python API."""

    def track(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        yield from items

    def note(self, message: str) -> None:
        pass

    def warn(self, message: str) -> None:
        warnings.warn(message, stacklevel=3)


_listener: Listener = Silent()


def listen(listener: Listener) -> None:
    """Install the listener that hears everything from now on."""
    global _listener
    _listener = listener


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Yield the items, telling how many of `total` (default: their length, where they have one) are done."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    return _listener.track(items, label, total)


def note(message: str) -> None:
    """Say a fact a person at the terminal wants to know and a script does not."""
    _listener.note(message)


def warn(message: str) -> None:
    """Say something that may make the result worse than expected."""
    _listener.warn(message)
