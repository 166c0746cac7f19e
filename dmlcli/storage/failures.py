"""One error type for failed writes of any library, with path, reason, size and next step."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dmlcli.errors import CannotRun, DmlcliError
from dmlcli.storage.paths import OTHER_PLACE

_OTHER_DISK = "free some space, or use a path on another disk (-w DIR, -o PATH)"
_MORE_FILES = "raise the limit on open files: ulimit -n 4096"
_REASONS = {  # errno: what the system calls it, and the next step
    errno.ENOSPC: ("no space left on device", _OTHER_DISK),
    errno.EDQUOT: ("disk quota exceeded", _OTHER_DISK),
    errno.EFBIG: ("file too large", "see `ulimit -f` and the maximum file size of the file system"),
    errno.EROFS: ("read-only file system", OTHER_PLACE),
    errno.EACCES: ("permission denied", OTHER_PLACE),
    errno.EPERM: ("operation not permitted", OTHER_PLACE),
    errno.EMFILE: ("too many open files", _MORE_FILES),
    errno.ENFILE: ("too many open files in system", _MORE_FILES),
    errno.EIO: ("input/output error", "the disk may be failing: see `dmesg`"),
    errno.ENAMETOOLONG: ("file name too long", "use a shorter path"),
    errno.ENOTDIR: ("not a directory", "a parent of this path is a file"),
    errno.EISDIR: ("is a directory", "name a file"),
    errno.ENOENT: ("no such file or directory", "the folder was removed, or its disk unmounted"),
    errno.ELOOP: ("too many levels of symbolic links", "remove the link that leads to itself"),
    errno.EBUSY: ("device or resource busy", "a mount point cannot be replaced: use a folder inside it"),
    errno.EXDEV: ("invalid cross-device link", "mount points and container images cannot be replaced: use a folder"),
    errno.EEXIST: ("file exists", "a file with this name exists"),
    errno.ENXIO: ("no such device or address", "start the program that reads from it first"),
    errno.ETXTBSY: ("text file busy", "the file is being run"),
}
_FROM_WRITING = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
_NUMBER = re.compile(r"(?:os error|errno|system error number) (\d+)")
_FULL = "database or disk is full"  # SQLite
_PROBE = 1 << 16  # bytes for which there is always room on a disk that is not full


class CannotWrite(CannotRun):
    """A file or folder cannot be written: the disk is full, read-only, not this user's, …"""

    def __init__(self, message: str, hint: str, target: Path, cause: Exception, number: int) -> None:
        super().__init__(message, hint)
        self.target, self.cause, self.number = target, cause, number

    @property
    def is_full(self) -> bool:
        """Whether the disk, or this user's share of it, is full."""
        return self.number in (errno.ENOSPC, errno.EDQUOT)


class NoRoom(OSError):
    """The space for a file could not be reserved; `needed` is its size in bytes."""

    def __init__(self, number: int, needed: int, file: Path) -> None:
        super().__init__(number, os.strerror(number), str(file))
        self.needed = needed


@contextmanager
def writing(target: Path, draft: Path | None = None) -> Iterator[None]:
    """Raise CannotWrite, naming `target`, for what a disk refuses inside; other errors pass unchanged.

    Args:
        target: the file or folder that the user knows.
        draft: where it is really written, if that is another path.
    """
    try:
        yield
    except Exception as error:
        known = cannot_write(target, error, draft)
        if known is None:
            raise
        raise known from error


def cannot_write(target: Path, error: Exception, draft: Path | None = None) -> CannotWrite | None:
    """Return the error to raise where `error` says that `target` cannot be written; None where it says another thing.

    Args:
        target: the file or folder that the user knows.
        error: of any library: OSError, FAISS, safetensors, SQLite, ONNX, PyArrow, PyTorch.
        draft: where it is really written, if that is another path.
    """
    draft = draft or target
    if isinstance(error, CannotWrite):
        if draft not in error.target.parents:
            return None
        number, error = error.number, error.cause  # of a file inside the draft, whose name says nothing to the user
    elif isinstance(error, DmlcliError) or (found := _number(error, target, draft)) is None:
        return None
    else:
        number = found
    reason, hint = _REASONS[number]
    sizes = _sizes(draft, error) if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else ""
    return CannotWrite(f"cannot write {target}: {reason}{sizes}", hint, target, error, number)


def check_room(target: Path, error: Exception) -> None:
    """Raise CannotWrite if `error` is due to a full disk or missing permissions for `target`."""
    known = cannot_write(target, error)
    if known is not None:
        raise known from error


def reserve(handle: int, size: int, file: Path, start: int = 0) -> None:
    """Reserve space for an open file.

    Args:
        handle: the file descriptor.
        size: bytes to reserve.
        file: the path, for the error.
        start: the first byte.

    Raises:
        NoRoom: the disk has less space.
    """
    if not size or not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        os.posix_fallocate(handle, start, size)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NoRoom(error.errno, size, file) from error


def existing(path: Path) -> Path:
    """Return the nearest folder above `path` that exists."""
    folder = path.absolute().parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _number(error: Exception, target: Path, draft: Path) -> int | None:
    """Return the errno of what went wrong with the writing; None for everything else that can go wrong."""
    number = error.errno if isinstance(error, OSError) else None
    number = _number_in(str(error).lower()) if number is None else number
    if number in _FROM_WRITING or (number in _REASONS and _concerns(error, target, draft)):
        return number
    return _probed(draft) if number is None else None  # NumPy, PyTorch and ONNX Runtime do not say why


def _number_in(text: str) -> int | None:
    """Return the errno in the text of an error."""
    if _FULL in text:
        return errno.ENOSPC
    if found := _NUMBER.search(text):
        return int(found[1])
    return next((number for number, (reason, _) in _REASONS.items() if reason in text), None)


def _concerns(error: Exception, target: Path, draft: Path) -> bool:
    """Return whether an error is about the target or a path inside or above it, not about another file."""
    names = [name for name in (getattr(error, "filename", None), getattr(error, "filename2", None)) if name is not None]
    if not names:
        return str(draft.absolute()) in str(error) or (draft != target and str(draft) in str(error))
    paths = [Path(os.fsdecode(name)).absolute() for name in names if isinstance(name, str | bytes)]
    ours = draft.absolute(), target.absolute()
    return any(path == mine or mine in path.parents or path in mine.parents for path in paths for mine in ours)


def _probed(draft: Path) -> int | None:
    """Return the errno with which the disk refuses to let the largest file grow a little; None where it does not."""
    file = existing(draft / "x") / f".{os.getpid()}.probe.tmp"
    try:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        return error.errno if error.errno in _FROM_WRITING else None
    try:
        reserve(handle, _PROBE, file, max((status.st_size for status in _statuses(draft)), default=0))
    except NoRoom as error:
        return error.errno
    finally:
        os.close(handle)
        file.unlink(missing_ok=True)
    return None


def _sizes(draft: Path, error: Exception) -> str:
    """Return what was needed and what is free, for the message."""
    written = _written(draft)
    if isinstance(error, NoRoom):
        file = Path(os.fsdecode(error.filename))
        needed = f"at least {size_text(written - _written(file) + error.needed)}"
    else:
        needed = f"more than {size_text(written)}"
    folder = existing(draft)
    try:
        status = os.statvfs(folder)
    except OSError:
        return f" ({needed} needed)"
    free = status.f_bavail * status.f_frsize + written
    inodes = ", and no inode is free" if status.f_files and not status.f_favail else ""
    return f" ({needed} needed, {size_text(free)} free in {folder}{inodes})"


def _written(path: Path) -> int:
    """Return the bytes that a file, or the files of a folder, take on disk."""
    return sum(status.st_blocks * 512 for status in _statuses(path))


def _statuses(path: Path) -> Iterator[os.stat_result]:
    """Yield the state of a file, or of each file of a folder."""
    for file in path.rglob("*") if path.is_dir() else (path,):
        with suppress(OSError):
            if file.is_file():
                yield file.stat()


def size_text(size: float) -> str:
    """Return a number of bytes as people write it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
