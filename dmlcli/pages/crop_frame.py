"""The frame around the part of a photo that was searched with."""

from typing import TYPE_CHECKING

from dmlcli.image import Picture
from dmlcli.report.query import Part

if TYPE_CHECKING:
    from PIL.Image import Image

_COLOR, _SHADE = "#2563eb", "#ffffff"
_THIN = 100  # of the frame's thickness to the longer side of the photo


def draw(image: "Image", data: bytes, box: Part) -> None:
    """Draw the frame on a photo.

    Args:
        image: the photo, upright, at any scale.
        data: the file that it was decoded from.
        box: left, top, right, bottom in pixels of the upright photo at full size; None: no frame.
    """
    if box is None:
        return
    from PIL import ImageDraw

    picture = Picture(data)
    across, down = image.width / picture.width, image.height / picture.height
    edges = [round(box[0] * across), round(box[1] * down), round(box[2] * across) - 1, round(box[3] * down) - 1]
    pen, thick = ImageDraw.Draw(image), max(2, max(image.size) // _THIN)
    pen.rectangle(edges, outline=_SHADE, width=thick + 1)  # seen on dark and on blue photos
    pen.rectangle(edges, outline=_COLOR, width=thick)
