"""Images as small JPEGs inside a page or a workbook."""

import base64
import io
from typing import NamedTuple

from PIL import Image

from dmlcli.errors import ImageError
from dmlcli.image import open_image
from dmlcli.pages import crop_frame
from dmlcli.report.query import Part, Picture


class Thumbnail(NamedTuple):
    """What a template shows of an image."""

    name: str  # read aloud by screen readers
    source: str | None = None  # a data URI; None: the image cannot be read
    width: int = 1  # in pixels
    height: int = 1


class Jpeg(NamedTuple):
    """A small image as the bytes of a file."""

    data: bytes
    width: int  # in pixels
    height: int


def jpeg(image: Picture | bytes, pixels: int, crop: Part = None) -> Jpeg | None:
    """Return an image as a small JPEG; None where it cannot be read.

    Args:
        image: a file or its bytes.
        pixels: the longer side is at most this long.
        crop: the part in a frame; None: no frame.
    """
    try:
        data = image if isinstance(image, bytes) else image.read_bytes()
        small = open_image(data, at_least=pixels)
    except (ImageError, OSError, ValueError):
        return None
    small.thumbnail((pixels, pixels))
    crop_frame.draw(small, data, crop)
    return _encoded(small)


def thumbnail(name: str, image: Picture | bytes, pixels: int, crop: Part = None) -> Thumbnail:
    """Return an image as a page shows it.

    Args:
        name: what it shows, in words.
        image: a file or its bytes.
        pixels: the longer side is at most this long.
        crop: the part in a frame; None: no frame.
    """
    small = jpeg(image, pixels, crop)
    return Thumbnail(name) if small is None else _thumbnail(name, small)


def from_picture(name: str, picture: Image.Image) -> Thumbnail:
    """Return a small picture as a page shows it.

    Args:
        name: what it shows, in words.
        picture: in the size in which it is shown.
    """
    return _thumbnail(name, _encoded(picture))


def _encoded(picture: Image.Image) -> Jpeg:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=82)
    return Jpeg(stream.getvalue(), *picture.size)


def _thumbnail(name: str, small: Jpeg) -> Thumbnail:
    source = "data:image/jpeg;base64," + base64.b64encode(small.data).decode("ascii")
    return Thumbnail(name, source, small.width, small.height)
