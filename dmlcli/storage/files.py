"""Atomic writes of single files.

A symbolic link is kept: what it leads to is replaced. A file that has other names (hard links) is replaced under this
name only, so that a backup made of hard links stays as it was. Devices, pipes and what this process has open as its
output are written into.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmlcli.errors import CannotRun
from dmlcli.storage import failures, paths

_READER_WAIT = 10.0  # seconds in which somebody must begin to read from a named pipe
_PAUSE = 0.05


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path under which to write what becomes the file `target` once the block ends without an error.

    The file gets the mode of the one that it replaces, a new one that of the umask.

    Raises:
        CannotRun: `target` is a folder, a socket or a disk, or a pipe without a reader.
        CannotWrite: the disk refuses it.
    """
    with failures.writing(target):
        is_stream = _is_stream(target)
    if is_stream:
        with _into_stream(target) as draft:
            yield draft
        return
    with failures.writing(target):
        end = paths.followed(target)
        paths.make_parents(end)
        for stale in paths.stale_drafts(end, end.suffix):
            stale.unlink(missing_ok=True)
    draft = paths.draft_of(end, end.suffix)
    try:
        with failures.writing(target, draft):
            mode = _create(draft, end)
            yield draft
            paths.set_mode(draft, mode)
            paths.sync(draft)
            draft.replace(end)
            paths.sync(end.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with new_file(target) as draft:
        draft.write_text(text, encoding="utf-8")


def link_or_copy(file: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no hard links; for files that never change."""
    try:
        os.link(file, target)
    except OSError:
        import shutil

        shutil.copy2(file, target)


def check_writable(target: Path, *, new_folders: bool = True) -> None:
    """Raise CannotRun now if the file `target` could not be written once the work is done.

    Args:
        target: the file.
        new_folders: whether missing parent folders will be created; False: they must exist.

    Raises:
        CannotRun: the folder does not exist or is not writable, or `target` cannot be replaced by a file.
    """
    if not new_folders and not target.absolute().parent.is_dir():
        raise CannotRun(f"folder not found: {target.parent}", hint="create it, or use another path")
    with failures.writing(target):
        if not _is_stream(target):
            paths.check_parent(paths.followed(target))
        elif not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


def _create(draft: Path, end: Path) -> int:
    """Make the draft, with the mode that the file will have; returns the mode."""
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    try:
        mode = stat.S_IMODE(end.stat().st_mode)
    except FileNotFoundError:
        return stat.S_IMODE(draft.stat().st_mode)
    paths.set_mode(draft, mode | stat.S_IWUSR)
    return mode


def _is_stream(target: Path) -> bool:
    """Return whether `target` is written into, like a device; raises CannotRun if it cannot be a file."""
    try:
        status = target.stat()
    except FileNotFoundError:
        return False
    kind = status.st_mode
    if stat.S_ISDIR(kind):
        raise CannotRun(f"cannot write {target}: it is a folder", hint="name a file")
    if stat.S_ISSOCK(kind) or stat.S_ISBLK(kind):
        what = "a socket" if stat.S_ISSOCK(kind) else "a disk"
        raise CannotRun(f"cannot write {target}: it is {what}, not a file", hint="name a file")
    if stat.S_ISREG(kind):
        return _own_output(status) is not None or not _is_at_its_place(target, status)
    return True


def _is_at_its_place(target: Path, status: os.stat_result) -> bool:
    """Return whether the file still has the name that it is found by; /dev/fd/3 may lead to one that was deleted."""
    try:
        return os.path.samestat(status, Path(os.path.realpath(target)).stat())
    except OSError:
        return False


def _own_output(status: os.stat_result) -> int | None:
    """Return 1 or 2 where the file is this process's standard output or error."""
    for handle in (1, 2):
        try:
            if os.path.samestat(status, os.fstat(handle)):
                return handle
        except OSError:  # closed
            continue
    return None


@contextmanager
def _into_stream(target: Path) -> Iterator[Path]:
    """Yield a temporary path whose content goes into a device, a pipe or the output of this process."""
    import shutil
    import sys
    import tempfile

    with tempfile.TemporaryDirectory(prefix="dmlcli-") as folder:
        draft = Path(folder) / f"draft{target.suffix}"
        with failures.writing(draft):
            yield draft
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
        with failures.writing(target), draft.open("rb") as source, os.fdopen(_opened(target), "wb") as stream:
            shutil.copyfileobj(source, stream)


def _opened(target: Path) -> int:
    """Return a file descriptor to write into; raises CannotRun if no process reads from a named pipe."""
    status = target.stat()
    own = _own_output(status)
    if own is not None:
        return os.dup(own)
    until = time.monotonic() + _READER_WAIT
    while True:
        try:
            handle = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(status.st_mode):
                raise
            if time.monotonic() > until:
                raise CannotRun(
                    f"cannot write {target}: no program reads from this pipe",
                    hint=f"start it first, e.g.: cat {target} > file &",
                ) from error
        time.sleep(_PAUSE)
    os.set_blocking(handle, True)
    return handle
