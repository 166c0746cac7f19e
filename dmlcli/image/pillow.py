"""Decoding of all images except plain JPEGs, with Pillow; only `decode.py` imports it."""

import io
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError, _imaging

from dmlcli.errors import ImageError
from dmlcli.image import gif, libtiff, limits, png
from dmlcli.image.image_files import NOT_AN_IMAGE

warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged EXIF and the like, on stderr, without the file's name
Image.MAX_IMAGE_PIXELS = None  # replaced by `limits`, which has an option
# None that runs code (EPS, PDF); the common ones first, for Pillow loads all its plugins to find one of the others.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "TGA")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # the EXIF tag
_SIDEWAYS = (5, 6, 7, 8)  # orientations that swap width and height
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_UNSIGNED = (1, 4)  # formats of samples: whole numbers from 0, and what nothing is said of
_RGB_BYTES = 3  # a pixel of what `pixels` returns; `from_pixels` makes an image of 4 from it
# Bytes a pixel that a decoder takes beside the image it fills, measured on the worst image of each format.
_DECODER_BYTES = {"WEBP": 12, "AVIF": 14, "JPEG2000": 24, "HEIF": 14, "TIFF": 8}
_PLAIN_BYTES = 80  # a pixel of PPM files as text or of odd depths, which Pillow decodes number by number
_BAND = 1 << 20  # pixels that are converted at once


class Header(NamedTuple):
    """The size as stored, the orientation, and the bytes of memory that decoding takes."""

    width: int
    height: int
    orientation: int
    memory: int


def read_header(data: bytes) -> Header:
    """Return what the header of an image says.

    Raises:
        ImageError: an unknown format, or too many pixels.
    """
    if data.startswith(b"GIF8"):
        limits.check(*gif.size(data))
    with _opened(data) as image:
        limits.check(*image.size)
        turned = orientation(image, data)
        if image.format == "TIFF":  # Pillow turns these itself, and swaps the sides here only by the tag of TIFF
            swap = turned in _SIDEWAYS and _ORIENTATION not in image.tag_v2  # type: ignore[attr-defined]
            width, height = reversed(image.size) if swap else image.size
            return Header(width, height, 1, _memory(image))
        return Header(*image.size, turned, _memory(image))


def orientation(image: Image.Image, data: bytes) -> int:
    """Return the orientation (EXIF's, 1 for upright) by EXIF, a raw profile or XMP, wherever they are in the file."""
    try:
        if image.format == "PNG":  # Pillow would decode it to the end in search of notes
            notes = png.notes(data)
            if not notes:
                return 1
            image = Image.open(io.BytesIO(notes), formats=("PNG",))
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata does not make the image invalid
        return 1


def pixels(data: bytes) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3): as stored, but for TIFF, which Pillow turns upright."""
    with libtiff.errors(_imaging.__file__) as damage, _opened(data) as image:
        white = _white(image)
        inverted = image.format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC) == 0  # type: ignore[attr-defined]
        try:
            image.load()
        except OSError as error:
            if damage:
                raise ImageError(f"the file is damaged ({'; '.join(damage)})") from error
            raise
        if damage:
            raise ImageError(f"the file is damaged ({'; '.join(damage)})")
        if white is None:
            return _banded(image, _rgb)
        key = image.info.get("transparency")
        return _banded(image, lambda band: _gray(np.asarray(band), white, inverted, key))


def from_cmyk(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the (H, W, 4) of a JPEG, whose colors Adobe stores inverted, as (H, W, 3)."""
    rgb = np.empty((*stored.shape[:2], 3), np.uint8)
    rows = max(1, _BAND // stored.shape[1])
    for top in range(0, len(stored), rows):
        band = 255 - stored[top : top + rows]
        rgb[top : top + rows] = np.asarray(Image.fromarray(band, "CMYK").convert("RGB"))
    return rgb


def from_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an image of pixels (H, W, 3)."""
    height, width = pixels.shape[:2]
    image = Image.new("RGB", (width, height))
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        image.paste(Image.fromarray(np.ascontiguousarray(pixels[top : top + rows])), (0, top))
    return image


def _opened(data: bytes) -> Image.Image:
    """Return the image with nothing but its header read; raises ImageError where no format is known."""
    try:
        return _open(data)
    except UnidentifiedImageError as error:
        raise ImageError(NOT_AN_IMAGE if data else "the file is empty") from error


def encode(image: Any, check: Callable[[int, int], None]) -> bytes:
    """Return a Pillow image or an array as the bytes of a BMP; raises ImageError if the array is not an image.

    Args:
        check: called with width and height before anything is decoded; raises where they are too large.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
            raise ImageError(
                f"an array of {image.dtype} of shape {image.shape} is not an image: expected uint8 of shape (H, W, 3)"
            )
        if not image.size:
            raise ImageError(f"an array of shape {image.shape} has no pixels")
        image = Image.fromarray(np.ascontiguousarray(image[:, :, 0] if image.shape[2:] == (1,) else image))
    check(*image.size)
    image = ImageOps.exif_transpose(image)
    white = _white(image)
    rgb = _banded(image, _rgb if white is None else lambda band: _gray(np.asarray(band), white, False, None))
    stream = io.BytesIO()
    from_pixels(rgb).save(stream, "BMP")
    return stream.getvalue()


def _open(data: bytes) -> Image.Image:
    heic = data[4:8] == b"ftyp" and data[8:12] in _HEIC
    try:
        return Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        if not heic:
            raise
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            raise ImageError("HEIC needs another package: pip install 'dmlcli[heic]'") from error
        register_heif_opener()
        return Image.open(io.BytesIO(data), formats=("HEIF",))


def _memory(image: Image.Image) -> int:
    """Return bytes that decoding an image takes, the result included."""
    each = 4 + _RGB_BYTES + _DECODER_BYTES.get(image.format or "", 0)
    if image.format == "PPM" and any(tile[0] != "raw" for tile in image.tile):  # type: ignore[attr-defined]
        each = _PLAIN_BYTES
    return each * image.size[0] * image.size[1]


def _white(image: Image.Image) -> int | None:
    """Return the value of white in an image of one number of 16 bits a pixel, None for the usual 8 bits.

    Raises:
        ImageError: signed, 32-bit or floating-point numbers.
    """
    tags = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    if (
        image.mode == "F"
        or (image.mode == "I" and image.format != "PPM")  # whose numbers Pillow scales to 16 bits
        or not set(tags.get(_SAMPLE_FORMAT, ())) <= set(_UNSIGNED)
    ):
        raise ImageError(
            "its pixels are signed, 32-bit or floating-point numbers, whose black and white points are unknown"
        )
    if not image.mode.startswith("I"):
        return None
    return (1 << int(tags.get(_BITS, (16,))[0])) - 1


def _banded(image: Image.Image, convert: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3), converted some rows at a time, so that conversion needs little memory."""
    width, height = image.size
    rows = max(1, _BAND // width)
    if rows >= height:
        return convert(image)
    result = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        result[top : top + rows] = convert(image.crop((0, top, width, min(height, top + rows))))
    return result


def _gray(numbers: NDArray[np.int32], white: int, inverted: bool, transparent: object) -> NDArray[np.uint8]:
    """Return 16-bit gray values as RGB, scaled; plain conversion would clip them."""
    gray = (numbers.astype(np.uint32) * 255 // white).astype(np.uint8)
    if inverted:
        gray = 255 - gray
    if isinstance(transparent, int):
        gray[numbers == transparent] = 255
    return np.repeat(gray[:, :, None], 3, axis=2)


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Return an image of 8 bits as RGB, transparency on white."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))
