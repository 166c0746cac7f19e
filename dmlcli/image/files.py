"""Which files are opened at all, and what their first bytes say. Names and suffixes say nothing."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from dmlcli.errors import ImageError, MissingError
from dmlcli.image import archives
from dmlcli.image.limits import max_pixels

SNIFF_LENGTH = 16  # bytes that `is_image` wants to see
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\x00",
    b"MM\x00*",
    b"P5",
    b"P6",
    b"\x00\x00\x00\x0cjP  ",
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_MOST_BYTES = 8  # of a file for each pixel that a picture may have: no format needs more
_CHUNK = 1 << 20


def is_image(header: bytes) -> bool:
    """Whether the first bytes of a file are those of an image format that is decoded here."""
    return (
        header.startswith(_SIGNATURES)
        or (header[:4] == b"RIFF" and header[8:12] == b"WEBP")
        or (header[4:8] == b"ftyp" and header[8:12] in _BRANDS)
    )


def status_of(path: Path) -> os.stat_result:
    """Size and time of a regular file.

    Errors: ImageError for what is missing, and for folders, pipes and devices, which are never opened.
    """
    inside = _inside(path)
    if inside is not None:
        return archives.status_of(*inside)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError("there is no such file") from error
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error
    except ValueError as error:  # a name that no file can have
        raise ImageError(f"not a possible file name: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")
    _check_bytes(status.st_size)
    return status


def read_stream(read: Callable[[int], bytes]) -> bytes:
    """Return the bytes of an image that come from a pipe, such as stdin.

    Args:
        read: returns at most so many bytes, none at the end.

    Errors: ImageError as soon as there are more than an image file may have.
    """
    data = bytearray()
    while chunk := read(_CHUNK):
        data += chunk
        _check_bytes(len(data))
    return bytes(data)


def _check_bytes(size: int) -> None:
    if size > _MOST_BYTES * max_pixels():
        raise ImageError(f"{size / 1e9:.1f} GB are too many for a picture of up to {max_pixels():,} pixels")


def read_file(path: Path) -> bytes:
    """The bytes of an image file; raises ImageError like `status_of`, and for what may not be read."""
    inside = _inside(path)
    if inside is not None:
        return archives.read(*inside)
    status_of(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error


def is_there(path: Path) -> bool:
    """Whether there is such a file, be it inside a tar file."""
    try:
        return path.is_file() or (_inside(path) is not None and bool(status_of(path)))
    except ImageError:
        return False


def _inside(path: Path) -> tuple[Path, str] | None:
    """Of a path that leads into a tar file, which and where."""
    return archives.split(path) if archives.SUFFIX in str(path) else None
