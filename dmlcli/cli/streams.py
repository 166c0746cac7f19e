"""Repair of stdin, stdout and stderr, however the command was started."""

import codecs
import io
import os
import sys

ERRORS = "dmlcli"  # the name of the handler below


def repair() -> None:
    """Replace streams that are closed (`>&-`) by /dev/null, and let nothing that goes wrong on stderr stop the work.

    A file that is opened later would otherwise get the number of the closed stream, and whatever prints there.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper):
        raw = _Stderr(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(io.BufferedWriter(raw), sys.stderr.encoding, line_buffering=True)


def accept_any_name() -> None:
    """Write UTF-8 whatever the locale; the bytes of file names that are not UTF-8 go out as they are."""
    codecs.register_error(ERRORS, _replaced)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=ERRORS)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the bytes that a file name was read from, else `\\uXXXX`, which JSON reads as the character."""
    assert isinstance(error, UnicodeEncodeError)
    parts = []
    for sign in error.object[error.start : error.end]:
        if "\udc80" <= sign <= "\udcff":
            parts.append(bytes([ord(sign) - 0xDC00]))
        else:
            halves = sign.encode("utf-16-be", "surrogatepass")
            units = (halves[at : at + 2] for at in range(0, len(halves), 2))
            parts.append(b"".join(b"\\u%04x" % int.from_bytes(unit) for unit in units))
    return b"".join(parts), error.end


class _Stderr(io.FileIO):
    """A stderr that drops messages which cannot be written (closed pipe, full disk)."""

    def write(self, data: "io.ReadableBuffer") -> int:  # type: ignore[name-defined]
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes
