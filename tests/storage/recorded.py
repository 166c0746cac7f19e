"""What is synced, swapped and removed, in its order."""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dmlcli.storage import folders


class Recorded(NamedTuple):
    """One event: a sync with the inode of what was synced; a rename, swap or removal with 0."""

    kind: str
    inode: int


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Record from now on."""
    events: list[Recorded] = []
    fsync, replace, exchange, rmtree = os.fsync, Path.replace, folders._exchange, shutil.rmtree

    def synced(handle: int) -> None:
        events.append(Recorded("sync", os.fstat(handle).st_ino))
        fsync(handle)

    def replaced(path: Path, target: Path) -> Path:
        events.append(Recorded("rename", 0))
        return replace(path, target)

    def swapped(one: Path, other: Path) -> bool:
        events.append(Recorded("swap", 0))
        return exchange(one, other)

    def removed(path: Path, *arguments: Any, **settings: Any) -> None:
        if Path(path).exists():
            events.append(Recorded("remove", 0))
        rmtree(path, *arguments, **settings)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(folders, "_exchange", swapped)
    monkeypatch.setattr(shutil, "rmtree", removed)
    return events
