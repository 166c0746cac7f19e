"""Images as small JPEGs inside a page or a workbook."""

import base64
import io
from typing import NamedTuple

from dmlcli.errors import ImageError
from dmlcli.image import open_image
from dmlcli.report.query import Picture


class Thumbnail(NamedTuple):
    """What a template shows of an image."""

    name: str  # read aloud by screen readers
    source: str | None  # a data URI; None: the image cannot be read


class Jpeg(NamedTuple):
    """A small image as the bytes of a file."""

    data: bytes
    width: int  # in pixels
    height: int


def jpeg(image: Picture | bytes, pixels: int) -> Jpeg | None:
    """Return an image as a small JPEG, whose longer side has at most `pixels`; None where it cannot be read."""
    try:
        data = image if isinstance(image, bytes) else image.read_bytes()
        small = open_image(data, at_least=pixels)
    except (ImageError, OSError, ValueError):
        return None
    small.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82)
    return Jpeg(stream.getvalue(), *small.size)


def data_uri(image: Picture | bytes, pixels: int) -> str | None:
    """Return an image as a data URI for `<img src>`.

    Args:
        image: a file or its bytes.
        pixels: the longer side is at most this long.

    Returns:
        The URI of a JPEG, or None where the image cannot be read.
    """
    small = jpeg(image, pixels)
    return small and "data:image/jpeg;base64," + base64.b64encode(small.data).decode("ascii")
