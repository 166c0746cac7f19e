"""Writing so that a crash leaves the old or the new, never half of one.

Every writer writes beside its target, syncs, then renames. A folder changes places with its draft in one step where
the system can (Linux, macOS); elsewhere by two renames, and a process killed between them leaves the old folder under
`.<name>.previous`, from where the next reader takes it back. A draft that a killed process left is cleared by the next.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from dmlcli import records
from dmlcli.errors import CannotRun

T = TypeVar("T")
_HERE = -2 if sys.platform == "darwin" else -100  # AT_FDCWD: paths are relative to the current folder
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


@contextmanager
def only_writer(target: Path) -> Iterator[None]:
    """Be the one process that writes the folder `target`; raises CannotRun, naming the process that is it already.

    The lock is the system's, so that of a process that died is gone with it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    file = target.with_name(f".{target.name}.lock")
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            writer = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            raise CannotRun(
                f"{target} is being written by another process{f' ({writer})' if writer else ''}",
                hint=f"wait until it is done, or stop it: kill {writer}" if writer else "wait until it is done",
            ) from error
        if file.exists() and os.fstat(handle).st_ino == file.stat().st_ino:
            break
        os.close(handle)  # the one before took the file away as it left
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def check_replaceable(target: Path, own: Collection[str]) -> None:
    """Raise CannotRun where writing the folder `target` would destroy anything but files of these names."""
    if target.exists() and not target.is_dir():
        raise CannotRun(f"{target} is a file and will not be replaced by a folder", hint="name another place with -o")
    strangers = sorted(file.name for file in target.iterdir() if file.name not in own) if target.exists() else []
    if strangers:
        raise CannotRun(
            f"{target} holds other things ({', '.join(strangers[:3])}) and will not be replaced",
            hint="-o names a new folder, or one that dmlcli made for the same purpose",
        )


@contextmanager
def new_folder(target: Path, own: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder that becomes `target`, replacing what was there, once the block ends without an error.

    Args:
        own: the names of the files that such a folder holds; one that holds others is somebody else's and is refused.
    """
    check_replaceable(target, own)
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_drafts(target)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    draft.mkdir()
    try:
        yield draft
        for file in draft.rglob("*"):
            _sync(file)
        _sync(draft)
        _swap(draft, target)
    finally:
        _remove(draft)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a name under which to write what becomes the file `target` once the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield draft
        _sync(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with new_file(target) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if any("\udc80" <= sign <= "\udcff" for sign in text):
        text = json.dumps(value, indent=2)  # a name that is not UTF-8 can only be escaped
    write_text(target, text + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises ValueError where the file holds anything else."""
    return records.read_object(file)


def reference(path: Path, folder: Path) -> dict[str, str]:
    """How a record in `folder` names `path`, so that it is found again also after both were moved together."""
    if path.parts and path.parts[0].endswith(":"):  # a URL is the same from everywhere
        return {"absolute": str(path), "relative": ""}
    path = path.resolve()
    return {"absolute": str(path), "relative": os.path.relpath(path, folder.resolve())}


def dereference(named: dict[str, str], folder: Path) -> Path:
    """The path that a record in `folder` names: where it lies from here, else where it was."""
    if not named["relative"]:
        return Path(named["absolute"])
    absolute, moved = Path(named["absolute"]), restore((folder.resolve() / named["relative"]).resolve())
    return moved if moved.exists() or not absolute.exists() else absolute


def restore(target: Path) -> Path:
    """Take back the previous folder where a writer was killed between its two renames; returns `target`."""
    previous = _previous(target)
    if not target.exists() and previous.exists():
        previous.rename(target)
    return target


def identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another one that was put in its place; None where there is none."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def settled(folder: Path, read: Callable[[Path], T]) -> T:
    """What `read` makes of a folder; read again where a writer put another in its place meanwhile."""
    while True:
        before = identity(folder)
        try:
            found = read(folder)
        except Exception:
            if identity(folder) == before:
                raise
        else:
            if identity(folder) == before:
                return found


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


def _clear_drafts(target: Path) -> None:
    """Remove what processes that no longer live have left, and this one."""
    import glob

    for draft in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        process = draft.name.removesuffix(".tmp").rpartition(".")[2]
        if _is_process(process) and (int(process) == os.getpid() or not _lives(int(process))):
            _remove(draft)


def _is_process(text: str) -> bool:
    """Whether a part of a file name is a process number."""
    return text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's
    return True


def _swap(draft: Path, target: Path) -> None:
    """Put `draft` in the place of `target`; what was there is removed."""
    previous = _previous(target)
    if target.exists() and _exchange(draft, target):
        _remove(draft, strict=True)
    else:
        while target.exists():  # a reader may take the previous one back in between
            _remove(previous)
            target.rename(previous)
        draft.rename(target)
    _remove(previous)
    _sync(target.parent)


def _remove(folder: Path, strict: bool = False) -> None:
    """Remove a folder and all in it; what resists is an error only where that is asked for."""
    import shutil

    shutil.rmtree(folder, ignore_errors=not strict)


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the file system cannot."""
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    change = getattr(library, "renameatx_np" if sys.platform == "darwin" else "renameat2", None)
    return change is not None and change(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
