"""How many pixels a picture may have, and how many are decoded at once: a catalogue of giants must not fill the memory.

A picture is judged by the size in its header, before anything is decoded, also where a smaller scale would do.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dmlcli.errors import ImageError, UsageError

VARIABLE = "DMLCLI_MAX_PIXELS"
_DEFAULT = 200_000_000  # the largest that phones take
_AT_ONCE = 100_000_000  # decoded pixels in memory, of all threads together: about 0.5 GB
_allowed: int | None = None
_decoding = 0
_changed = threading.Condition()


def allow_pixels(most: int | None) -> None:
    """Set the limit for this process, which goes before the environment's; None: the environment's again."""
    global _allowed
    _allowed = most


def max_pixels() -> int:
    """The most pixels a picture may have; raises UsageError where the environment holds no number."""
    if _allowed is not None:
        return _allowed
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return _DEFAULT
    if not asked.isdecimal() or not int(asked):
        raise UsageError(f"{VARIABLE} is '{asked}'", hint=f"a number of pixels, for example {VARIABLE}={_DEFAULT}")
    return int(asked)


def check(width: int, height: int) -> None:
    """Raise ImageError for a picture above the limit."""
    if width * height > max_pixels():
        raise ImageError(
            f"{width} x {height} pixels are more than the limit of {max_pixels():,}",
            hint=f"--max-pixels {width * height}, or {VARIABLE}, raises it",
        )


@contextmanager
def room(pixels: int) -> Iterator[None]:
    """Wait until so many pixels may be decoded beside what others are at; more than the whole room go alone."""
    global _decoding
    pixels = min(pixels, _AT_ONCE)
    with _changed:
        _changed.wait_for(lambda: _decoding + pixels <= _AT_ONCE)
        _decoding += pixels
    try:
        yield
    finally:
        with _changed:
            _decoding -= pixels
            _changed.notify_all()
