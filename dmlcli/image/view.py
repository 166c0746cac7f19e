"""What a model sees of a picture: the part that is asked for, shrunk to its size, normalized."""

from dataclasses import dataclass

import numpy as np

from dmlcli.image.decode import Picture
from dmlcli.types import Box, Pixels


@dataclass(frozen=True)
class ImageSettings:
    """How a model wants its images; it travels inside the model, so nobody can pair weights with the wrong pixels."""

    resize: int = 256  # pixels, short side of the whole image
    crop: int = 224  # pixels, side of the center square that is kept
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]: ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    decode: str = "fast"  # large JPEGs at a reduced scale, no less than twice the size needed; or "exact": whole


def view(data: bytes, settings: ImageSettings, part: Box | None = None) -> Pixels:
    """The center of an image as a model sees it: (3, crop, crop) float32, normalized.

    Args:
        part: what counts as the image, in pixels of the upright picture, as in an annotation; None: all of it.

    Errors: ImageError with the reason.
    """
    picture = Picture(data)
    left, top, right, bottom = picture.inside(part)
    side = settings.crop * min(right - left, bottom - top) / settings.resize  # of the kept square
    across, down = (right - left - side) / 2, (bottom - top - side) / 2
    return normalize(square(picture, (left + across, top + down, right - across, bottom - down), settings), settings)


def square(picture: Picture, box: Box, settings: ImageSettings) -> Pixels:
    """The part of a picture inside `box`, shrunk to (crop, crop, 3) in [0, 255]; what lies outside is left out."""
    return picture.resized(picture.inside(box), settings.crop, settings.interpolation, settings.decode == "exact")


def normalize(rgb: Pixels, settings: ImageSettings) -> Pixels:
    """(H, W, 3) in [0, 255] to (3, H, W) with the model's mean and standard deviation."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (settings.mean, settings.std))
    planes = np.array(rgb.transpose(2, 0, 1), np.float32, order="C")  # plane by plane is several times quicker
    planes *= 1 / (255 * std)
    planes -= mean / std
    return planes
