"""Handling of SIGINT, SIGTERM and SIGHUP; imported first, so it imports almost nothing.

While a command starts there is nothing to clean up, and a signal ends the process at once. While it works, a signal
raises KeyboardInterrupt in the main thread, so that every `finally` and `with` on the way out runs. Once it is done, a
signal ends it with the exit code of the work. A second signal always ends the process at once. The exit code is
128 + the number of the first signal: 129 (SIGHUP), 130 (SIGINT) or 143 (SIGTERM).

Two places would lose a KeyboardInterrupt. During an import, C extensions turn it into ImportError or SystemError, and
some packages then continue without the module; so the signal waits until the import is over, at most a second. In a
destructor Python prints and drops it; so it is raised again afterwards.
"""

import os
import signal
import sys
import time

TYPE_CHECKING = False  # typing alone takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_PATIENCE = 1.0  # seconds that a signal waits for an import to finish
_PAUSE = 0.02  # seconds until it is tried again
_IMPORT = "<frozen importlib._bootstrap>"
_SHOW_CURSOR = b"\x1b[?25h"  # progress bars hide it

_working = False
_result: int | None = None  # exit code of a command that is done
_received = 0  # the first signal
_retried = False  # whether the next signal is the first one again
_give_up_at = 0.0
_last_words: "Callable[[], str] | None" = None  # what is printed when the process ends without unwinding
_kept = ("", "")  # what an interrupted command leaves behind, and what to type next


def install() -> None:
    """Handle the signals from here on; one that is ignored (SIGHUP under nohup) stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    sys.unraisablehook = _not_raised


def work(last_words: "Callable[[], str] | None" = None) -> None:
    """Raise KeyboardInterrupt for signals from here on.

    Args:
        last_words: returns the message for a process that has to end without unwinding.
    """
    global _working, _last_words
    _working, _last_words = True, last_words


def done(code: int) -> None:
    """End the process with `code` for signals from here on: all work is finished and shown."""
    global _result
    _result = code


def finish(code: int) -> "NoReturn":
    """End the process with `code`, without the interpreter's own clean-up, which a signal could interrupt.

    It would free memory piece by piece, which the system does faster, and wait for threads whose work is not needed.
    """
    done(code)
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 (contextlib takes as long to import as the rest)
            stream.flush()
        except (OSError, ValueError, AttributeError):  # its reader is gone; results were flushed when printed
            pass
    os._exit(code)


def received() -> bool:
    """Return whether a signal has come: what goes wrong afterwards may be its doing."""
    return _received != 0


def exit_code() -> int:
    """Return 128 + the number of the signal; 130 for a KeyboardInterrupt of another origin."""
    return 128 + (_received or signal.SIGINT)


class keeping:
    """Set the message of an interrupted command inside the block: what was kept, and the next command.

    The innermost block counts. Example: `with keeping("the features computed so far are kept", "run the same command
    again"):`.
    """

    def __init__(self, kept: str, hint: str) -> None:
        self._words = kept, hint

    def __enter__(self) -> None:
        global _kept
        self._before, _kept = _kept, self._words

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        global _kept
        if kind is None or not issubclass(kind, KeyboardInterrupt):
            _kept = self._before


def kept() -> tuple[str, str]:
    """Return what an interrupted command kept and the next command; empty strings by default."""
    return _kept


def _handle(number: int, frame: "FrameType | None") -> None:
    global _received, _retried, _give_up_at
    again, _retried = _retried, False
    if _result is not None:
        _leave(_result)
    if _received and not again:
        _leave(exit_code())
    if not _received:
        _received, _give_up_at = number, time.monotonic() + _PATIENCE
    if not _working:
        _leave(exit_code())
    if not _imports(frame):
        raise KeyboardInterrupt
    if time.monotonic() > _give_up_at:
        _leave(exit_code(), _last_words)
    _retry_soon()


def _imports(frame: "FrameType | None") -> bool:
    """Return whether a module is being imported, directly or further up."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False


def _retry_soon() -> None:
    import _thread  # built in

    main = _thread.get_ident()

    def retry() -> None:
        global _retried
        time.sleep(_PAUSE)
        _retried = True
        signal.pthread_kill(main, _received)

    try:
        _thread.start_new_thread(retry, ())
    except RuntimeError:  # no more threads
        _leave(exit_code(), _last_words)


def _not_raised(found: "sys.UnraisableHookArgs") -> None:
    """Handle exceptions in destructors and callbacks, as Python's hook for them."""
    if _received and issubclass(found.exc_type, KeyboardInterrupt):
        _retry_soon()
    else:
        sys.__unraisablehook__(found)


def _leave(code: int, last_words: "Callable[[], str] | None" = None) -> "NoReturn":
    """End at once, from within a signal handler: no stream of Python's may be touched, it may be in use."""
    try:
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)
        if last_words is not None:
            os.write(2, f"{last_words()}\n".encode(errors="backslashreplace"))
    finally:
        os._exit(code)
