"""Locks: one writer at a time; the system releases the lock of a process that dies.

The library `filelock` is not used: it does not record which process holds a lock, which the error names, and it locks
any file, also one with other contents or with several names.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmlcli.errors import CannotRun
from dmlcli.storage import failures, paths

_NOTE = re.compile(rb"[\d\s\0]*")  # all that a lock file may hold: the number of the process that has it


class Locked(CannotRun):
    """Another process holds the lock; `process` is its number, "" where it is not known."""

    def __init__(self, file: Path, process: str) -> None:
        super().__init__(f"{file} is locked by another process{f' ({process})' if process else ''}")
        self.process = process


@contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Hold the write lock of the folder `target`; raises CannotRun, naming the process that holds it."""
    with failures.writing(target):
        end = paths.followed(target)
        paths.make_parents(end)
    file = paths.beside(end, ".lock")
    try:
        handle = lock(file)
    except failures.CannotWrite as error:
        raise failures.cannot_write(target, error.cause, file) or error from error
    except Locked as error:
        writer = error.process
        raise CannotRun(
            f"{target} is being written by another process{f' ({writer})' if writer else ''}",
            hint=f"wait until it is done, or stop it: kill {writer}" if writer else "wait until it is done",
        ) from error
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def lock(file: Path) -> int:
    """Lock a file, made where it is missing; returns the descriptor that holds the lock until it is closed.

    The holder of the lock may remove the file. A symbolic link is not followed, and a file that is not a lock is
    neither emptied nor locked.

    Raises:
        Locked: another process holds it.
        CannotRun: it is not a lock file, or cannot be created.
    """
    while True:
        handle = _opened(file)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(handle, file):
                os.ftruncate(handle, 0)
                _write_number(handle)
                return handle
        except BlockingIOError as error:
            process = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            raise Locked(file, process) from error
        except OSError as error:
            os.close(handle)
            raise CannotRun(f"cannot lock {file}: {error.strerror}", hint="use a path on a local disk") from error
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the previous holder removed the file: this lock protects nothing


def is_locked(file: Path) -> bool:
    """Return whether a process holds the lock; never makes the file."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _opened(file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with failures.writing(file):
            handle = os.open(file, flags, 0o666)
    except failures.CannotWrite as error:
        if error.number == errno.ELOOP:
            raise _no_lock(file, "it is a symbolic link") from error
        raise
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or not _NOTE.fullmatch(os.pread(handle, 32, 0)):
        os.close(handle)
        raise _no_lock(file, "it has another name" if status.st_nlink > 1 else "it is not a lock file of dmlcli")
    return handle


def _no_lock(file: Path, reason: str) -> CannotRun:
    return CannotRun(f"cannot lock {file}: {reason}", hint="move it away")


def _is_still(handle: int, file: Path) -> bool:
    """Return whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(handle), file.lstat())
    except FileNotFoundError:
        return False


def _write_number(handle: int) -> None:
    """Note which process holds the lock, for the error that others show; a full disk is ignored."""
    try:
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
