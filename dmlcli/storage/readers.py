"""Functions for readers of folders and records; a query imports nothing else of this package."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dmlcli.storage import paths

T = TypeVar("T")


def restore(target: Path) -> Path:
    """Take back the previous folder where a writer was killed between its two renames; returns `target`."""
    if not target.exists():
        end = Path(os.path.realpath(target)) if target.is_symlink() else target
        previous = paths.previous_of(end)
        if previous.exists():
            previous.rename(end)
    return target


def identity(folder: Path) -> tuple[int, int] | None:
    """Return the identity of a folder, which changes when another one replaces it; None if it does not exist."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def settled(folder: Path, read: Callable[[Path], T]) -> T:
    """Return what `read` makes of a folder; read again where a writer put another in its place meanwhile."""
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


def dereference(named: dict[str, str], folder: Path) -> Path:
    """Return the path that a record in `folder` names: where it lies from here, else where it was."""
    if not named["relative"]:
        return Path(named["absolute"])
    absolute, moved = Path(named["absolute"]), restore((folder.resolve() / named["relative"]).resolve())
    return moved if moved.exists() or not absolute.exists() else absolute
