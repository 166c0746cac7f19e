"""Compact features of a photo: header fields, a perceptual hash and a thumbnail.

The only check that knows Pillow, and only for what a header says; pixels come from `image`, so a photo that cannot be
read here is one that cannot be embedded, for the same reason.
"""

import hashlib
import io
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dmlcli.image import open_image

GrayThumbnails = NDArray[np.uint8]  # (N, SIDE, SIDE, 3)
Hashes = NDArray[np.uint64]  # (N, WORDS): signs of the lowest frequencies, BITS of them
Thumbnails = NDArray[np.float32]  # (N, 192), mean 0, length 1; the cosine of two says how alike they are in color

SIDE = 32  # pixels of a miniature
BITS, WORDS = 128, 2
THUMB = 8  # pixels a side, three colors
_ORIENTATION, _EXIF_FOLDER, _TAKEN = 0x0112, 0x8769, 0x9003
_FLAT = 2.0  # levels of 255; deviation below which a miniature shows nothing
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class Header(NamedTuple):
    """The header fields of an image file."""

    width: int
    height: int
    mode: str
    transparent: bool
    rotated: bool  # lies turned or mirrored and says so by EXIF
    taken: float  # seconds since 1970 by the camera's clock, nan where unknown


def read_header(data: bytes) -> Header:
    """Return the header fields of an image file that `gray_thumbnail` could read."""
    image = Image.open(io.BytesIO(data))
    orientation, taken = _notes(image, data)
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return Header(*image.size, image.mode, transparent, orientation not in (0, 1), taken)


def gray_thumbnail(data: bytes) -> NDArray[np.uint8]:
    """Return the whole upright photo squeezed into (SIDE, SIDE, 3); raises ImageError where it cannot be decoded."""
    image = open_image(data, at_least=2 * SIDE)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)


def digest(data: bytes) -> bytes:
    """Return 16 bytes that identify the content."""
    return hashlib.blake2b(data, digest_size=16).digest()


def hashes(gray_thumbnails: GrayThumbnails) -> Hashes:
    """Return the signs of the BITS lowest frequencies of the gray photo, without the mean: (N, WORDS).

    Compressing or resizing a photo changes 0 to 8 of the 128 bits, cutting 2 % off each side 10 to 20; of photos that
    have nothing in common about 64 differ.
    """
    gray = gray_thumbnails @ _LUMA  # (N, SIDE, SIDE)
    spectrum = np.einsum("ij,njk,lk->nil", _COSINES, gray, _COSINES, optimize=True)
    signs = spectrum[:, _LOWEST[0], _LOWEST[1]] > 0  # (N, BITS)
    return np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64)


def small(gray_thumbnails: GrayThumbnails) -> NDArray[np.uint8]:
    """Return color thumbnails of 8 x 8 pixels: (N, THUMB, THUMB, 3)."""
    step = SIDE // THUMB
    blocks = gray_thumbnails.reshape(len(gray_thumbnails), THUMB, step, THUMB, step, 3)
    means: NDArray[np.float64] = blocks.mean(axis=(2, 4))
    return means.round().astype(np.uint8)


def unit(thumbnails: NDArray[np.uint8]) -> Thumbnails:
    """Return thumbnails without their mean brightness, of unit length (0 for blank ones): (N, 192)."""
    rows = thumbnails.reshape(len(thumbnails), THUMB * THUMB * 3).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows /= np.maximum(lengths, np.float32(1e-6))
    return rows


def is_blank(gray_thumbnail: NDArray[np.uint8]) -> bool:
    """Return whether a photo has a single color."""
    return float(gray_thumbnail.std(axis=(0, 1)).max()) < _FLAT


def _notes(image: Image.Image, data: bytes) -> tuple[int, float]:
    """Return orientation and time from EXIF; upright and NaN if they are missing."""
    if image.format == "PNG" and b"eXIf" not in data:
        return 1, float("nan")  # Pillow would decode a PNG to its end in search of EXIF
    try:
        exif = image.getexif()
        return int(exif.get(_ORIENTATION, 1)), _seconds(exif.get_ifd(_EXIF_FOLDER).get(_TAKEN))
    except Exception:  # damaged metadata does not make the image invalid
        return 1, float("nan")


def _seconds(taken: object) -> float:
    try:
        return (datetime.strptime(str(taken), "%Y:%m:%d %H:%M:%S") - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return float("nan")


def _cosines(frequencies: int) -> NDArray[np.float32]:
    frequency, place = np.arange(frequencies)[:, None], np.arange(SIDE)[None]
    return np.cos(np.pi * (2 * place + 1) * frequency / (2 * SIDE)).astype(np.float32)


def _lowest(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows and columns of the lowest frequencies, diagonal by diagonal, without the mean."""
    order = sorted((down + across, down, across) for down in range(SIDE) for across in range(SIDE))[1 : count + 1]
    chosen = np.array(order, dtype=np.int64)
    return chosen[:, 1], chosen[:, 2]


_LOWEST = _lowest(BITS)
_COSINES = _cosines(int(max(_LOWEST[0].max(), _LOWEST[1].max())) + 1)
