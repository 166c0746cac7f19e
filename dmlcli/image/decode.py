"""The bytes of an image file to upright RGB, or the reason why not. The only file that knows decoders.

Pillow says what a file is and decodes it; the pixels of JPEGs come from simplejpeg, which decodes by the same library,
is quicker, and tells of damage that Pillow passes over in silence.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from dmlcli.errors import DmlcliError, ImageError
from dmlcli.image import limits
from dmlcli.image.resample import Box, Floats, resample
from dmlcli.image.scratch import scratch

warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged EXIF and the like, on stderr, without the file's name
Image.MAX_IMAGE_PIXELS = None  # `limits` stands in its place, with a reason and an option
# None that runs code (EPS, PDF); the common ones first, for Pillow loads all its plugins to find one of the others.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {  # by orientation: whether to swap the sides, then turn rows around, then columns
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_TWICE = 2  # a reduced scale keeps at least so many pixels for each one of the result


class Picture:
    """An image file whose header has been read: its upright size is known, its pixels are decoded when asked for.

    Errors: ImageError with the reason, also from the methods.
    """

    def __init__(self, data: bytes) -> None:
        with _reasons(data):
            self._data, self._image = data, _open(data)
            limits.check(*self._image.size)
            self._swap, self._flip_rows, self._flip_columns = _UPRIGHT.get(
                _orientation(self._image, data), (False, False, False)
            )
        width, height = self._image.size
        self.width, self.height = (height, width) if self._swap else (width, height)

    def inside(self, box: Box | None) -> Box:
        """The part of `box` inside the picture, all of the picture for None; raises ImageError where that is none."""
        if box is None:
            return 0, 0, self.width, self.height
        left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], self.width), min(box[3], self.height)
        if not (left < right and top < bottom):
            named = ", ".join(f"{edge:g}" for edge in box)
            raise ImageError(f"the box {named} lies outside the image of {self.width} x {self.height} pixels")
        return left, top, right, bottom

    def resized(self, box: Box, side: int, interpolation: str, exact: bool) -> Floats:
        """The part inside `box` (upright) as (side, side, 3) in [0, 255].

        Args:
            exact: decode whole; else a JPEG may come at a half, a quarter or an eighth, as long as both sides of the
                box keep twice the pixels of the result.
        """
        left, top, right, bottom = box
        reduction = 1 if exact else _reduction(min(right - left, bottom - top) / (_TWICE * side))
        if self._flip_columns:
            left, right = self.width - right, self.width - left
        if self._flip_rows:
            top, bottom = self.height - bottom, self.height - top
        if self._swap:
            left, top, right, bottom = top, left, bottom, right
        with self._decoded(reduction) as stored:
            down, across = stored.shape[0] / self._image.height, stored.shape[1] / self._image.width
            scaled = (left * across, top * down, right * across, bottom * down)
            return np.ascontiguousarray(self._turned(resample(stored, scaled, side, interpolation)))

    def image(self, at_least: int = 0) -> Image.Image:
        """The whole picture; a JPEG may come smaller as long as its short side keeps `at_least` pixels (0: all)."""
        short = min(self.width, self.height)
        with self._decoded(_reduction(short / at_least) if at_least else 1) as stored:
            return Image.fromarray(np.array(self._turned(stored), order="C"))

    @contextmanager
    def _decoded(self, reduction: int) -> "Iterator[NDArray[np.uint8]]":
        """(H, W, 3) as stored, at 1/`reduction` of the size where the format can; in memory only inside the block."""
        width, height = (-(-length // reduction) for length in self._image.size)
        jpeg = self._image.format in ("JPEG", "MPO")
        with limits.room(width * height if jpeg else self._image.width * self._image.height):
            with _reasons(self._data):
                if jpeg and self._image.mode in ("RGB", "L"):
                    stored = _from_jpeg(self._data, width, height)
                else:
                    self._image.draft(None, (width, height))
                    stored = np.asarray(_to_rgb(self._image))
            yield stored

    def _turned(self, stored: NDArray[Any]) -> NDArray[Any]:
        turned = stored.swapaxes(0, 1) if self._swap else stored
        return turned[:: -1 if self._flip_rows else 1, :: -1 if self._flip_columns else 1]


def open_image(data: bytes, at_least: int = 0) -> Image.Image:
    """Decode to upright RGB, transparency on white.

    Args:
        data: the bytes of an image file.
        at_least: pixels; a JPEG may be decoded smaller as long as its short side keeps this length. 0: full size.

    Errors: ImageError with the reason.
    """
    return Picture(data).image(at_least)


def cut(data: bytes, part: tuple[tuple[float, bool], ...]) -> bytes:
    """A part of an upright photo, as an image file of its own, without loss.

    Args:
        part: left, top, width, height, each with whether it is in per cent of the photo's side, else in pixels.

    Errors: ImageError where nothing of the photo lies inside.
    """
    picture = Picture(data)
    sides = (picture.width, picture.height) * 2
    left, top, width, height = (n * side / 100 if share else n for (n, share), side in zip(part, sides, strict=True))
    return cropped(data, (left, top, left + width, top + height))


def cropped(data: bytes, box: Box) -> bytes:
    """The part of an image inside `box` as an image file of its own, without loss: seen as if it had been cut before.

    Args:
        box: pixels of the upright image.

    Errors: ImageError where it cannot be decoded or the box lies outside.
    """
    picture = Picture(data)
    left, top, right, bottom = picture.inside(box)
    whole = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    stream = io.BytesIO()
    picture.image().crop(whole).save(stream, "BMP")
    return stream.getvalue()


@contextmanager
def _reasons(data: bytes) -> Iterator[None]:
    """Whatever a decoder does not like is the reason of an ImageError."""
    try:
        yield
    except DmlcliError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError("not an image in a format known here" if data else "the file is empty") from error
    except Exception as error:  # decoders fail in many ways; whatever it is, this image cannot be read
        reason = str(error) or type(error).__name__
        reason = "the file is truncated" if "truncated" in reason.lower() else f"it cannot be decoded: {reason}"
        raise ImageError(reason) from error


def _open(data: bytes) -> Image.Image:
    """The header, read by Pillow."""
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


def _orientation(image: Image.Image, data: bytes) -> int:
    """The EXIF orientation, 1 (upright) where there is none."""
    if image.format == "TIFF" or (image.format == "PNG" and b"eXIf" not in data and "exif" not in image.info):
        return 1  # Pillow turns TIFFs by itself, and would decode a PNG to the end in search of EXIF
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged note about a picture is no reason to lose the picture
        return 1


def _reduction(most: float) -> int:
    """The largest scale of 1/1, 1/2, 1/4 and 1/8 that reduces no more than by `most`; decoders do these quickly."""
    return next((power for power in (8, 4, 2) if power <= most), 1)


def _from_jpeg(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) of a colour or grey JPEG, which holds them at this scale."""
    try:
        return _simplejpeg(data, width, height, strict=True)
    except ValueError as error:
        reason = str(error)
    if "extraneous bytes before marker 0xd9" in reason:  # many cameras leave some at the end; the picture is whole
        return _simplejpeg(data, width, height, strict=False)
    if "remature end" in reason:
        raise ImageError("the file is truncated")
    if "orrupt" in reason:
        raise ImageError(f"the file is damaged ({reason})")
    image = Image.open(io.BytesIO(data), formats=_FORMATS)  # rare forms that only Pillow decodes
    image.draft(None, (width, height))
    return np.asarray(image.convert("RGB"))


def _simplejpeg(data: bytes, width: int, height: int, strict: bool) -> NDArray[np.uint8]:
    memory = scratch("decoded", (height, width, 3), np.uint8)
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, min_width=width, min_height=height, buffer=memory, strict=strict
    )
    return decoded


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
