"""Images as small JPEGs inside a page."""

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


def data_uri(image: Picture | bytes, pixels: int) -> str | None:
    """Return an image as a data URI for `<img src>`.

    Args:
        image: a file or its bytes.
        pixels: the longer side is at most this long.

    Returns:
        The URI of a JPEG, or None where the image cannot be read.
    """
    try:
        data = image if isinstance(image, bytes) else image.read_bytes()
        small = open_image(data, at_least=pixels)
    except (ImageError, OSError, ValueError):
        return None
    small.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
