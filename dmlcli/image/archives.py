"""Pictures inside tar files, which are named `shard-000.tar/key.jpg` and read where they lie, here or far away.

A tar file is listed once; a picture is then one read at its place. Far away means a URL that fsspec knows
(`s3://…`, `https://…`; the extra `remote`); as a path it is written with one slash, since paths have no empty parts.
The only file that knows tar files and fsspec.
"""

import hashlib
import os
import re
import tarfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from dmlcli.errors import ImageError, MissingError

SUFFIX = ".tar"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:")
_KEPT = 64  # lists of tar files in memory


class Member(NamedTuple):
    """Where a file inside a tar file lies: bytes from its start, and how many."""

    offset: int
    size: int


def is_remote(path: Path) -> bool:
    """Return whether a path is a URL."""
    return bool(path.parts) and _SCHEME.fullmatch(path.parts[0]) is not None


def name_of(archive: Path) -> str:
    """Return a path as it is typed: a URL with its two slashes, three where it is one of a file."""
    if not is_remote(archive):
        return str(archive)
    scheme, *rest = archive.parts
    return f"{scheme}//{'/' if scheme == 'file:' else ''}{'/'.join(rest)}"


def split(path: Path) -> tuple[Path, str] | None:
    """Return the tar file and the name inside it, of a path that leads into one; None for any other path."""
    for above in path.parents:
        if above.suffix == SUFFIX and (is_remote(above) or above.is_file()):
            return above, path.relative_to(above).as_posix()
    return None


def members(archive: Path) -> Mapping[str, Member]:
    """Return the files inside a tar file by their names, in order; raises ImageError where it is none or is damaged."""
    return _members(archive, version(archive))


def version(archive: Path) -> int:
    """Return a number that changes when the tar file does; raises ImageError where there is none."""
    try:
        return _remote_version(archive) if is_remote(archive) else archive.stat().st_mtime_ns
    except FileNotFoundError as error:
        raise MissingError("file not found") from error
    except Exception as error:  # every store fails in its own way
        raise ImageError(f"the tar file cannot be read: {error}") from error


def status_of(archive: Path, name: str) -> os.stat_result:
    """Return the size of a file inside a tar file, and the time of the tar file."""
    now = version(archive)
    found = _members(archive, now).get(name)
    if found is None:
        raise MissingError(f"{name} not found in {archive.name}")
    return os.stat_result((0o100644, 0, 0, 1, 0, 0, found.size, 0, 0, 0), {"st_mtime_ns": now})


def read(archive: Path, name: str, most: int | None = None) -> bytes:
    """Return the bytes of a file inside a tar file.

    Args:
        archive: the tar file, or its URL.
        name: of the file inside.
        most: bytes that may be read; None: any number.

    Raises:
        MissingError: file not found inside.
        ImageError: it is too large, or cannot be read.
    """
    place = members(archive).get(name)
    if place is None:
        raise MissingError(f"{name} not found in {archive.name}")
    if most is not None and place.size > most:
        raise ImageError(f"its {place.size:,} bytes exceed the limit of {most:,}")
    try:
        if is_remote(archive):
            data: bytes = _system(archive).cat_file(name_of(archive), place.offset, place.offset + place.size)
        else:
            with archive.open("rb") as stream:
                data = os.pread(stream.fileno(), place.size, place.offset)
    except Exception as error:
        raise ImageError(f"the tar file cannot be read: {error}") from error
    if len(data) < place.size:
        raise ImageError(f"{archive.name} is truncated")
    return data


@lru_cache(_KEPT)
def _members(archive: Path, version: int) -> Mapping[str, Member]:
    found: dict[str, Member] = {}
    try:
        with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if member.isfile() and not member.issparse():
                    found[member.name.removeprefix("./")] = Member(member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # or it would keep them all
    except Exception as error:  # tarfile's own, and those of every store
        raise ImageError(f"not a tar file, or damaged: {error}") from error
    return found


@lru_cache
def _remote_version(archive: Path) -> int:
    """Return the version of a remote tar file, requested once: it is assumed not to change meanwhile."""
    mark = str(_system(archive).ukey(name_of(archive)))
    return int.from_bytes(hashlib.blake2b(mark.encode(), digest_size=7).digest())


def _opened(archive: Path) -> Any:
    return _system(archive).open(name_of(archive), "rb") if is_remote(archive) else archive.open("rb")


@lru_cache
def _system_of(scheme: str) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise ImageError("URLs need another package: pip install 'dmlcli[remote]'") from error
    return fsspec.filesystem(scheme)


def _system(archive: Path) -> Any:
    return _system_of(archive.parts[0].removesuffix(":"))
