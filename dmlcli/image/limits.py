"""Limits for images: pixels, file size and memory.

Images are checked by their headers, before decoding, even if a reduced scale would suffice. One limit can be set
(`--max-pixels`); the limits of bytes follow from it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dmlcli.errors import TooLargeError, UsageError

VARIABLE = "DMLCLI_MAX_PIXELS"
_DEFAULT = 200_000_000  # the largest that phones take
_FILE_BYTES = 4  # of a file, for each allowed pixel: 0.8 GB by default
_MEMORY_BYTES = 8  # of memory, the file included, for each allowed pixel: 1.6 GB by default
_AT_ONCE = (
    500_000_000  # bytes that decoding takes, of all threads together; a single image may take so many in any case
)
MAX_SCANS = 100  # of a JPEG; progressive ones have about ten
_PASSES = 10  # over all pixels of the largest allowed image: how much work the scans of a JPEG may be
_allowed: int | None = None
_decoding = 0
_changed = threading.Condition()


def allow_pixels(most: int | None) -> None:
    """Set the limit for this process, which goes before the environment's; None: the environment's again."""
    global _allowed
    _allowed = most


def is_set() -> bool:
    """Return whether this process has a limit of its own, or the environment one."""
    return _allowed is not None or bool(os.environ.get(VARIABLE))


def max_pixels() -> int:
    """Return the most pixels a picture may have; raises UsageError where the environment holds no number."""
    if _allowed is not None:
        return _allowed
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return _DEFAULT
    if not asked.isdecimal() or not int(asked):
        raise UsageError(
            f"invalid {VARIABLE}: '{asked}'", hint=f"use a number of pixels, for example {VARIABLE}={_DEFAULT}"
        )
    return int(asked)


def max_file_bytes() -> int:
    """Return the largest number of bytes that an image file may have."""
    return max(_FILE_BYTES * max_pixels(), _AT_ONCE)


def max_memory() -> int:
    """Return the largest number of bytes that an image may take in memory, its file included."""
    return max(_MEMORY_BYTES * max_pixels(), _AT_ONCE)


def check_file(size: int) -> None:
    """Raise TooLargeError if an image file of `size` bytes is too large to be read."""
    if size > max_file_bytes():
        raise TooLargeError(
            f"the file of {_amount(size)} is larger than the limit of {_amount(max_file_bytes())}",
            hint=f"--max-pixels {-(-size // _FILE_BYTES)}, or {VARIABLE}, raises the limit",
        )


def check(width: int, height: int) -> None:
    """Raise TooLargeError for a picture above the limit."""
    if width * height > max_pixels():
        raise TooLargeError(
            f"{width} x {height} pixels are more than the limit of {max_pixels():,}",
            hint=f"--max-pixels {width * height}, or {VARIABLE}, raises it",
        )


def check_memory(needed: int) -> None:
    """Raise TooLargeError if an image that takes `needed` bytes of memory, its file included, is above the limit."""
    if needed > max_memory():
        raise TooLargeError(
            f"decoding it takes {_amount(needed)} of memory, more than the limit of {_amount(max_memory())}",
            hint=f"--max-pixels {-(-needed // _MEMORY_BYTES)}, or {VARIABLE}, raises the limit",
        )


def check_scans(scans: int, pixels: int) -> None:
    """Raise TooLargeError if a JPEG has more scans than any camera or program writes, or too many for its size."""
    if scans > MAX_SCANS:
        raise TooLargeError(f"a JPEG of {scans:,} scans, more than the limit of {MAX_SCANS}")
    if scans * pixels > _PASSES * max_pixels():
        raise TooLargeError(
            f"a JPEG of {scans} scans over {pixels:,} pixels takes too long to decode",
            hint=f"--max-pixels {-(-scans * pixels // _PASSES)}, or {VARIABLE}, raises the limit",
        )


@contextmanager
def room(memory: int) -> Iterator[None]:
    """Wait until `memory` bytes may be taken beside what others decode; what needs more than all of it goes alone."""
    global _decoding
    memory = min(memory, _AT_ONCE)
    with _changed:
        _changed.wait_for(lambda: _decoding + memory <= _AT_ONCE)
        _decoding += memory
    try:
        yield
    finally:
        with _changed:
            _decoding -= memory
            _changed.notify_all()


def _amount(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
