"""Detection of image files by their first bytes; names and suffixes are not used."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from dmlcli.errors import ImageError, MissingError
from dmlcli.image import limits

SNIFF_LENGTH = 32  # bytes that `is_image` wants to see
_READ = (
    "jpg jpeg jpe jfif mpo png apng webp gif bmp ppm pgm pbm pnm tif tiff tga avif heic heif jp2 j2k j2c jpc jpf jpx"
)
_GRAPHICS = "psd psb xcf ai eps svg svgz cdr wmf emf ico cur icns jxl exr hdr dds pcx sgi"
_RAW = "dng cr2 cr3 crw nef nrw arw sr2 raf orf rw2 pef srw 3fr iiq"
SUFFIXES = frozenset(_READ.split())  # of the formats that are decoded
UNREAD_SUFFIXES = frozenset(
    [*_GRAPHICS.split(), *_RAW.split()]
)  # of images that are not: a folder's are listed by name
NOT_AN_IMAGE = "not an image in a supported format"
_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\x00",
    b"MM\x00*",
    b"II+\x00",  # BigTIFF
    b"MM\x00+",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",  # JPEG 2000 without a container
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes; each version of the format has its own
_CHUNK = 1 << 20
_TAR = ".tar"


def is_image(header: bytes) -> bool:
    """Return whether the first bytes of a file are those of an image format that is decoded here."""
    return (
        header.startswith(_SIGNATURES)
        or (header[:4] == b"RIFF" and header[8:12] == b"WEBP")
        or (header[4:8] == b"ftyp" and header[8:12] in _BRANDS)
        or _is_pnm(header)
        or (header[:2] == b"BM" and int.from_bytes(header[14:18], "little") in _BMP_HEADERS)
        or _is_tga(header)
    )


def status_of(path: Path) -> os.stat_result:
    """Return size and time of a regular file, or of one inside a tar file.

    Raises:
        ImageError: the file is missing or too large, or is a folder, a pipe or a device, which are never opened.
    """
    inside = _inside(path)
    if inside is None:
        status = _status(path)
    else:
        from dmlcli.image import archives

        status = archives.status_of(*inside)
    limits.check_file(status.st_size)
    return status


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file, which may lie inside a tar file.

    Raises:
        ImageError: as for `status_of`; or the file cannot be read, or does not begin like an image.
    """
    status = status_of(path)
    inside = _inside(path)
    if inside is not None:
        from dmlcli.image import archives

        return archives.read(*inside)
    try:
        with path.open("rb") as stream:
            first = stream.read(SNIFF_LENGTH)
            if not is_image(first):
                raise ImageError(NOT_AN_IMAGE if first else "the file is empty")
            stream.seek(0)
            return stream.read(status.st_size)
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error


def read_stream(read: Callable[[int], bytes]) -> bytes:
    """Return the bytes of an image that come from a pipe, such as stdin.

    Args:
        read: returns at most so many bytes, none at the end.

    Raises:
        ImageError: the stream is longer than an image file may be.
    """
    chunks: list[bytes] = []
    size = 0
    while chunk := read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        limits.check_file(size)
    return b"".join(chunks)


def is_there(path: Path) -> bool:
    """Return whether there is such a file, be it inside a tar file."""
    try:
        return path.is_file() or (_inside(path) is not None and bool(status_of(path)))
    except (ImageError, OSError):  # OSError: a name that is too long, a folder that may not be entered
        return False


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        from dmlcli.missing import why_missing  # a query that finds its photo does not wait for it

        raise MissingError(*why_missing(path)) from error
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error
    except ValueError as error:  # a name that no file can have
        raise ImageError(f"invalid file name: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")
    return status


def _is_pnm(header: bytes) -> bool:
    """Return whether it is `P1` to `P6`, then a number or a comment: a note that begins with P5 is not."""
    if header[:1] != b"P" or header[1:2] not in (b"1", b"2", b"3", b"4", b"5", b"6"):
        return False
    after = header[2:].lstrip(b" \t\r\n")
    return len(after) < len(header) - 2 and (after[:1] == b"#" or after[:1].isdigit())


def _is_tga(header: bytes) -> bool:
    """Return whether the fields of a TGA header, which has no signature, all have possible values."""
    if len(header) < 18:
        return False
    colors, kind, depth, palette = header[1], header[2], header[16], header[3:8]
    if colors == 0:
        known = kind in (2, 3, 10, 11) and not any(palette)
    else:
        known = colors == 1 and kind in (1, 9) and palette[4] in (15, 16, 24, 32) and any(palette[2:4])
    return known and depth in (1, 8, 16, 24, 32) and any(header[12:14]) and any(header[14:16]) and not header[17] & 0xC0


def _inside(path: Path) -> tuple[Path, str] | None:
    """Return the tar file and the name inside it for a path that leads into one, else None."""
    if _TAR not in str(path):
        return None
    from dmlcli.image import archives  # a query by a file of its own does not load tarfile

    return archives.split(path)
