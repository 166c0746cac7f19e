"""Checksums of the files of a folder, and the time of the last check.

Reading a large file to the end before each query would take longer than the query. So a file that matched its checksum
is noted with its size, inode and time of change (`checked.json`), and is not read again until one of these differs.
"""

import stat
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dmlcli import storage
from dmlcli.storage import records

CHECKED = "checked.json"
_BLOCK = 1 << 20
_NOTE = {"files": records.mapping_of(records.list_of(records.whole(least=-(1 << 63)), length=3))}
_SCHEMA = 1


def sums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the size and checksum of each of the files, as a record keeps them."""
    return {name: _sum(folder / name) for name in sorted(names)}


def note(folder: Path, names: Iterable[str]) -> None:
    """Note that these files hold what they should, right after they were written."""
    files = {name: _state(folder / name) for name in sorted(names)}
    storage.write_json(folder / CHECKED, {"schema": _SCHEMA, "files": files})


def check(folder: Path, expected: Mapping[str, str]) -> None:
    """Hold the files of a folder against their checksums.

    Args:
        folder: where they lie.
        expected: what `sums` gave when they were written.

    Raises:
        FileNotFoundError: one is missing.
        ValueError: one is not a regular file, or does not hold what was written.
    """
    states = {name: _state(folder / name) for name in expected}
    if not states or states == _checked(folder):
        return
    for name, written in expected.items():
        size = written.partition("-")[0]
        if str(states[name][0]) != size:
            raise ValueError(f"{name} has {states[name][0]} bytes instead of {size}")
        if _sum(folder / name) != written:
            raise ValueError(f"{name} does not hold what was written (its checksum differs)")
    with suppress(OSError):  # a workspace that may only be read is checked each time
        storage.write_json(folder / CHECKED, {"schema": _SCHEMA, "files": states})


def _checked(folder: Path) -> dict[str, list[int]] | None:
    try:
        states: Any = records.read(folder / CHECKED, _SCHEMA, _NOTE)["files"]
    except (OSError, ValueError):
        return None
    return states  # type: ignore[no-any-return]


def _state(file: Path) -> list[int]:
    """Return what changes whenever a file does."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{file.name} is not a regular file")
    return [status.st_size, status.st_ino, status.st_mtime_ns]


def _sum(file: Path) -> str:
    block = memoryview(bytearray(_BLOCK))
    size = checksum = 0
    with file.open("rb", buffering=0) as stream:
        while count := stream.readinto(block):
            checksum = zlib.crc32(block[:count], checksum)
            size += count
    return f"{size}-{checksum:08x}"
