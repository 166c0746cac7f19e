"""Atomic replacement of folders.

Where the system cannot do that (Linux and macOS can), two renames take its place: a process killed between them leaves
the old folder under `.<name>.previous`, from where the next reader takes it back (`reading`). A draft that a
killed process left is removed by the next writer. A folder that is a symbolic link is replaced where the link leads,
on its own disk.
"""

import os
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dmlcli.errors import CannotRun
from dmlcli.storage import failures, paths

_HERE = -2 if sys.platform == "darwin" else -100  # AT_FDCWD: paths are relative to the current folder
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def check_replaceable(target: Path, own: Collection[str]) -> None:
    """Raise CannotRun where the folder `target` cannot be written, or holds anything but files of the names `own`."""
    with failures.writing(target):
        end = paths.followed(target)
        paths.check_parent(end)
        if not end.exists():
            return
        if not end.is_dir():
            raise CannotRun(
                f"{target} is a file and will not be replaced by a folder", hint="use another path (-o PATH)"
            )
        others = sorted(file.name for file in end.iterdir() if file.name not in own)
    if others:
        raise CannotRun(
            f"{target} contains other files ({', '.join(others[:3])}) and will not be replaced",
            hint="use a new folder (-o DIR), or one that dmlcli created for the same purpose",
        )
    if os.path.ismount(end):
        raise CannotRun(
            f"{target} is a mount point, which cannot be replaced in one step",
            hint=f"use a folder in it: {target}/data",
        )
    if not os.access(end, os.W_OK | os.X_OK):
        raise CannotRun(f"cannot write {target}: permission denied", hint=f"chmod u+w {target}, or use another path")


@contextmanager
def new_folder(target: Path, own: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder that becomes `target`, replacing what was there, once the block ends without an error.

    The folder keeps the mode of the one that it replaces, a new one gets that of the umask; its files get the same
    rights, whatever mode the library that wrote them chose.

    Args:
        own: the names of the files that such a folder holds; one that holds others is somebody else's and is refused.

    Raises:
        CannotRun: `target` holds other things, is a file, or a link that leads nowhere.
        CannotWrite: the disk refuses it.
    """
    check_replaceable(target, own)
    with failures.writing(target):
        end = paths.followed(target)
        paths.make_parents(end)
    for stale in paths.stale_drafts(end):
        _remove(stale)
    draft = paths.draft_of(end)
    try:
        with failures.writing(target, draft):
            draft.mkdir()
            mode = stat.S_IMODE((end if end.exists() else draft).stat().st_mode)
            paths.set_mode(draft, mode)
            yield draft
            _settle(draft, mode)
            _swap(draft, end)
    finally:
        _remove(draft)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is missing; raises CannotRun where it cannot be made."""
    with failures.writing(folder):
        end = paths.followed(folder)
        paths.make_parents(end)
        end.mkdir(exist_ok=True)
        paths.sync(end.parent)


def _settle(draft: Path, mode: int) -> None:
    """Give all in a draft the rights of the folder, and have it written to disk."""
    for path in draft.rglob("*"):
        paths.set_mode(path, mode if path.is_dir() else mode & 0o666)
        paths.sync(path)
    paths.sync(draft)


def _swap(draft: Path, target: Path) -> None:
    """Put `draft` in the place of `target`; what was there is removed once the change is on disk."""
    previous = paths.previous_of(target)
    if target.exists() and _exchange(draft, target):
        paths.sync(target.parent)
        _remove(draft, strict=True)
    else:
        while target.exists():  # a reader may take the previous one back in between
            _remove(previous)
            target.rename(previous)
        draft.rename(target)
        paths.sync(target.parent)
    _remove(previous)


def _remove(folder: Path, strict: bool = False) -> None:
    """Remove a folder and its content; failures are errors only if requested."""
    import shutil

    shutil.rmtree(folder, ignore_errors=not strict)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the file system cannot."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    change = getattr(library, "renameatx_np" if sys.platform == "darwin" else "renameat2", None)
    return change is not None and change(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
