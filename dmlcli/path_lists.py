"""Lists of paths, one per line, read from a file or stdin as they arrive.

A line that cannot be a path keeps its place in the list and carries the reason. Lists in UTF-16 or UTF-32, and UTF-8
with a byte-order mark, are read as what they are; all others are bytes, since file names need not be UTF-8.
"""

import codecs
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from dmlcli.errors import CannotRun, UsageError

_LONGEST = 1 << 15  # bytes of a line; the longest path of Linux and macOS has 4,096 and 1,024
_CHUNK = 1 << 16
_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


class Line(NamedTuple):
    """The path on one line, or what to call the line and why it is not a path."""

    name: str
    failure: str = ""


def read(source: str, null: bool) -> Iterator[Line]:
    """Yield the lines of a list, blank ones left out, each as soon as it has arrived.

    Args:
        source: a file, or - for stdin.
        null: whether paths end with NUL instead of newline.

    Raises:
        CannotRun: the list cannot be read.
        UsageError: the list as a whole ends its paths otherwise than `null` says.
    """
    end = b"\0" if null else b"\n"
    shown = "stdin" if source == "-" else source
    for number, (line, ended) in enumerate(_split(_as_bytes(_chunks(source)), end), start=1):
        if number == 1 and not ended:
            _check_separator(line, shown, null)
        path = line if null else line.removesuffix(b"\r")
        if len(line) > _LONGEST:
            yield Line(f"line {number} of {shown}", f"a line of more than {_LONGEST:,} bytes is not a path")
        elif b"\0" in path:
            yield Line(os.fsdecode(path), "a path cannot contain NUL (a list separated by NUL needs --null)")
        elif path.strip():
            yield Line(os.fsdecode(path))


def _check_separator(only_line: bytes, shown: str, null: bool) -> None:
    """Raise UsageError for a list without a single separator of the kind expected that has the other kind."""
    if not null and b"\0" in only_line:
        raise UsageError(f"the paths in {shown} are separated by NUL, not by newlines", hint="add --null")
    if null and b"\n" in only_line.rstrip(b"\r\n"):
        raise UsageError(f"the paths in {shown} are separated by newlines, not by NUL", hint="remove --null")


def _chunks(source: str) -> Iterator[bytes]:
    """Yield what has arrived, as it arrives: a line typed into an open pipe does not wait for the next."""
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as stream:
            while chunk := os.read(stream.fileno(), _CHUNK):
                yield chunk
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have, or stdin is closed
        hint = "--files-from takes a file, or - for stdin"
        raise CannotRun(f"cannot read {source!r}: {getattr(error, 'strerror', None) or error}", hint=hint) from error


def _as_bytes(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the chunks without a byte-order mark, those of UTF-16 and UTF-32 turned into UTF-8."""
    first = b""
    for chunk in chunks:
        first += chunk
        if len(first) >= 4 or first[:1] not in (b"\xff", b"\xfe", b"\xef", b"\0"):
            break
    mark, encoding = next((known for known in _MARKS if first.startswith(known[0])), (b"", _without_mark(first)))
    rest = first[len(mark) :]
    if encoding in ("", "utf-8"):
        yield rest
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    yield decoder.decode(rest).encode()
    for chunk in chunks:
        yield decoder.decode(chunk).encode()


def _without_mark(first: bytes) -> str:
    """Return UTF-16 as detected by two ASCII characters at the start; an empty string for anything else."""
    low, high = first[:4:2], first[1:4:2]
    if len(first) < 4:
        return ""
    if high == b"\0\0" and b"\0" not in low:
        return "utf-16-le"
    return "utf-16-be" if low == b"\0\0" and b"\0" not in high else ""


def _split(chunks: Iterable[bytes], end: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield lines, and whether each was ended; of one that is too long the first part alone, never more in memory."""
    rest, too_long = b"", b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(end)
        for line in whole:
            yield too_long or line, True
            too_long = b""
        if len(rest) > _LONGEST:
            too_long, rest = too_long or rest, b""
    if rest or too_long:
        yield too_long or rest, False
