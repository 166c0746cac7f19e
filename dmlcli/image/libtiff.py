"""Errors of libtiff, which it would otherwise print on stderr without the name of the file."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LENGTH = 1000  # characters of a message
_heard = threading.local()
_installed = False
_lock = threading.Lock()


@contextmanager
def errors(extension: str) -> Iterator[list[str]]:
    """Collect what libtiff reports in this thread inside the block.

    Args:
        extension: the file of Pillow's C extension, through which its copy of libtiff is found. Where that has none
            that can be reached, nothing is collected, and libtiff prints its messages.

    Returns: the messages, each once, in order.
    """
    _install(extension)
    found: list[str] = []
    _heard.messages = found
    try:
        yield found
    finally:
        _heard.messages = None


def _install(extension: str) -> None:
    global _installed
    with _lock:
        if _installed:
            return
        _installed = True
        try:
            ctypes.CDLL(extension).TIFFSetErrorHandler(_HANDLER)
        except (OSError, AttributeError):
            return


def _report(module: bytes | None, form: bytes, values: int) -> None:
    """Record an error; libtiff calls this with its function, a printf format, and the values (a va_list)."""
    found = getattr(_heard, "messages", None)
    if found is None:
        return
    text = ctypes.create_string_buffer(_LENGTH)
    ctypes.pythonapi.PyOS_vsnprintf(text, ctypes.c_size_t(_LENGTH), ctypes.c_char_p(form), ctypes.c_void_p(values))
    message = text.value.decode("utf-8", "replace").strip().rstrip(".")
    if message not in found:
        found.append(message)


_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_report)
