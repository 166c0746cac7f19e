"""Everything that is no plain JPEG, by way of Pillow. Only `decode.py` comes here, and only when it must."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dmlcli.errors import ImageError

warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged EXIF and the like, on stderr, without the file's name
Image.MAX_IMAGE_PIXELS = None  # `limits` stands in its place, with a reason and an option
# None that runs code (EPS, PDF); the common ones first, for Pillow loads all its plugins to find one of the others.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # the EXIF tag


def open_header(data: bytes) -> Image.Image:
    """The image with nothing but its header read; raises ImageError where no format is known."""
    try:
        return _open(data)
    except UnidentifiedImageError as error:
        raise ImageError("not an image in a format known here" if data else "the file is empty") from error


def orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation, 1 (upright) where there is none."""
    if image.format == "TIFF" or (image.format == "PNG" and b"eXIf" not in data and "exif" not in image.info):
        return 1  # Pillow turns TIFFs by itself, and would decode a PNG to the end in search of EXIF
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged note about a picture is no reason to lose the picture
        return 1


def pixels(image: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """(H, W, 3) of an image whose header was read; a JPEG may come smaller, but no smaller than this."""
    image.draft(None, (width, height))
    return np.asarray(_to_rgb(image))


def from_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    """An image of pixels (H, W, 3)."""
    return Image.fromarray(np.array(pixels, order="C"))


def encode(image: Any, check: Callable[[int, int], None]) -> bytes:
    """The bytes of a BMP of an image of Pillow's or of an array; raises ImageError where the array is not an image.

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
    stream = io.BytesIO()
    _to_rgb(ImageOps.exif_transpose(image)).save(stream, "BMP")
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
            raise ImageError("HEIC needs one more library: pip install 'dmlcli[heic]'") from error
        register_heif_opener()
        return Image.open(io.BytesIO(data), formats=("HEIF",))


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode == "F" or (image.mode == "I" and image.getextrema()[1] > 0xFFFF):  # type: ignore[operator]
        raise ImageError("its pixels are floating-point or 32-bit numbers, whose white is unknown")
    if image.mode.startswith("I"):  # 16 bits a pixel; plain conversion would clip instead of scale
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")
