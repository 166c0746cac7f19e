"""The bytes of an image file to upright RGB, or the reason why not.

The pixels of JPEGs come from simplejpeg, which decodes by the same library as Pillow, is faster, and reports damage
that Pillow passes over in silence. All else is Pillow's, which is not even imported for a plain JPEG.
"""

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dmlcli.errors import DmlcliError, ImageError
from dmlcli.image import jpeg, limits
from dmlcli.image.resample import Floats, resample
from dmlcli.image.scratch import scratch
from dmlcli.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

_UPRIGHT = {  # by orientation: whether to swap the sides, then turn rows around, then columns
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
_CMYK = 4  # components
_PNG = b"\x89PNG\r\n\x1a\n"
_FILLED = re.compile(r"(\d+) extraneous bytes before marker 0xd9")  # what libjpeg says of bytes after the last pixel
_TWICE = 2  # a reduced scale keeps at least so many pixels for each one of the result


class Picture:
    """An image file whose header has been read: its upright size is known, its pixels are decoded on demand.

    Raises:
        ImageError: the image cannot be read; methods raise it, too.
    """

    def __init__(self, data: bytes) -> None:
        with _reasons():
            if data.startswith(_PNG):
                from dmlcli.image import png

                data = png.checked(data)
            header = _read_header(data)
        width, height = header.width, header.height
        limits.check_memory(header.memory + len(data))
        self._data = data
        self._coding = header.coding
        self._memory = header.memory
        self._stored = width, height
        self._swap, self._flip_rows, self._flip_columns = _UPRIGHT.get(header.orientation, (False, False, False))
        self.width, self.height = (height, width) if self._swap else (width, height)

    def inside(self, box: Box | None) -> Box:
        """Return the part of `box` inside the picture, all of it for None; raises ImageError if the box is outside."""
        if box is None:
            return 0, 0, self.width, self.height
        left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], self.width), min(box[3], self.height)
        if not (left < right and top < bottom):
            named = ", ".join(f"{edge:g}" for edge in box)
            raise ImageError(f"the box {named} is outside the image of {self.width} x {self.height} pixels")
        return left, top, right, bottom

    def resized(self, box: Box, side: int, interpolation: str, exact: bool) -> Floats:
        """Return the part inside a box as (side, side, 3) in [0, 255].

        Args:
            box: left, top, right, bottom in pixels of the upright image.
            side: width and height of the result.
            interpolation: the filter.
            exact: decode at full size; else a JPEG may be decoded at a half, a quarter or an eighth, as long as both
                sides of the box keep twice the pixels of the result.
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
            across, down = stored.shape[1] / self._stored[0], stored.shape[0] / self._stored[1]
            scaled = (left * across, top * down, right * across, bottom * down)
            return np.ascontiguousarray(self._turned(resample(stored, scaled, side, interpolation)))

    def image(self, at_least: int = 0) -> "Image":
        """Return the whole picture; a JPEG may be smaller if its short side keeps `at_least` pixels (0: full size)."""
        from dmlcli.image import pillow

        short = min(self.width, self.height)
        with self._decoded(_reduction(short / at_least) if at_least else 1) as stored:
            return pillow.from_pixels(self._turned(stored))

    @contextmanager
    def _decoded(self, reduction: int) -> "Iterator[NDArray[np.uint8]]":
        """Yield (H, W, 3) as stored, at 1/`reduction` of the size if possible; valid inside the block only."""
        coding = self._coding
        memory = self._memory if coding is None else jpeg.memory(coding, *self._stored, reduction)
        with limits.room(memory):
            with _reasons():
                if coding is not None:
                    width, height = (-(-length // reduction) for length in self._stored)
                    stored = _from_jpeg(self._data, width, height, coding.components)
                else:
                    from dmlcli.image import pillow

                    stored = pillow.pixels(self._data)
                    if stored.shape[:2] != self._stored[::-1]:
                        raise ImageError("the size of its pixels differs from its header")
            yield stored

    def _turned(self, stored: NDArray[Any]) -> NDArray[Any]:
        turned = stored.swapaxes(0, 1) if self._swap else stored
        return turned[:: -1 if self._flip_rows else 1, :: -1 if self._flip_columns else 1]


def open_image(data: bytes, at_least: int = 0) -> "Image":
    """Decode to upright RGB, transparency on white.

    Args:
        data: the bytes of an image file.
        at_least: pixels; a JPEG may be decoded smaller as long as its short side keeps this length. 0: full size.

    Raises:
        ImageError: the image cannot be decoded.
    """
    return Picture(data).image(at_least)


def cut(data: bytes, part: tuple[tuple[float, bool], ...]) -> bytes:
    """Return a part of an upright photo, as an image file of its own, without loss.

    Args:
        part: left, top, width, height, each with whether it is in per cent of the photo's side, else in pixels.

    Raises:
        ImageError: the box is outside the photo.
    """
    picture = Picture(data)
    sides = (picture.width, picture.height) * 2
    left, top, width, height = (n * side / 100 if share else n for (n, share), side in zip(part, sides, strict=True))
    return cropped(data, (left, top, left + width, top + height))


def cropped(data: bytes, box: Box) -> bytes:
    """Return the part of an image inside `box` as a lossless image file.

    Args:
        box: pixels of the upright image.

    Raises:
        ImageError: the image cannot be decoded, or the box is outside.
    """
    picture = Picture(data)
    left, top, right, bottom = picture.inside(box)
    whole = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
    stream = io.BytesIO()
    picture.image().crop(whole).save(stream, "BMP")
    return stream.getvalue()


def encoded(image: Any) -> bytes:
    """Return an image that is in memory as an image file, upright and without loss.

    Args:
        image: Pillow's, or an array uint8 of shape (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        ImageError: an array is not an image, or Pillow cannot decode its own.
    """
    from dmlcli.image import pillow

    with _reasons():
        return pillow.encode(image, limits.check)


@contextmanager
def _reasons() -> Iterator[None]:
    """Convert any error of a decoder to an ImageError with its reason."""
    try:
        yield
    except DmlcliError:
        raise
    except Exception as error:  # decoders fail in many ways; whatever it is, this image cannot be read
        reason = str(error) or type(error).__name__
        reason = "the file is truncated" if "truncated" in reason.lower() else f"it cannot be decoded: {reason}"
        raise ImageError(reason) from error


class _Header(NamedTuple):
    width: int  # in pixels, as stored
    height: int
    orientation: int
    memory: int  # bytes that decoding takes at full size
    coding: jpeg.Coding | None  # of a JPEG


def _read_header(data: bytes) -> _Header:
    """Return what the header says; raises ImageError for what is larger, or takes longer, than is allowed."""
    plain = jpeg.header(data)
    coding: jpeg.Coding | None
    if plain is not None:
        width, height, orientation, coding = plain
        limits.check(width, height)
    else:
        from dmlcli.image import pillow

        coding = jpeg.coding(data) if data.startswith(jpeg.SIGNATURE) else None
        width, height, orientation, memory = pillow.read_header(data)
    if coding is not None:
        limits.check_scans(coding.scans, width * height)
        memory = jpeg.memory(coding, width, height)
    return _Header(width, height, orientation, memory, coding)


def _reduction(most: float) -> int:
    """Return the largest scale of 1/1, 1/2, 1/4 and 1/8 that reduces by at most `most`."""
    return next((power for power in (8, 4, 2) if power <= most), 1)


def _from_jpeg(data: bytes, width: int, height: int, components: int) -> NDArray[np.uint8]:
    """Return (height, width, 3) of a JPEG at this scale; raises ImageError for a damaged one."""
    with suppress(ValueError):  # damage, or only a note in the header
        return _strict(data, width, height, components)
    data = jpeg.without_notes(data)
    try:
        return _strict(data, width, height, components)
    except ValueError as error:
        reason = str(error)
    if filled := _FILLED.search(reason):  # some cameras fill the end of a scan with zeros
        with suppress(ValueError):
            return _strict(jpeg.without_filling(data, int(filled[1])), width, height, components)
    if "remature end" in reason:
        raise ImageError("the file is truncated")
    raise ImageError(f"the file is damaged ({reason})")


def _strict(data: bytes, width: int, height: int, components: int) -> NDArray[np.uint8]:
    """Return the same, or ValueError for whatever libjpeg warns of."""
    cmyk = components == _CMYK
    memory = scratch("decoded", (height, width, 4 if cmyk else 3), np.uint8)
    decoded: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data, "CMYK" if cmyk else "RGB", min_width=width, min_height=height, buffer=memory, strict=True
    )
    if cmyk:
        from dmlcli.image import pillow

        return pillow.from_cmyk(decoded)
    return decoded
