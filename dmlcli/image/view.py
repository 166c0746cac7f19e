"""Conversion of images to model inputs: crop, resize, normalize."""

from dataclasses import dataclass

import numpy as np

from dmlcli.image.decode import Picture
from dmlcli.types import Box, Pixels


@dataclass(frozen=True)
class ImageSettings:
    """The image settings of a model; they are stored in the model, so that queries use the same ones."""

    resize: int = 256  # pixels, short side of the whole image
    crop: int = 224  # pixels, side of the center square that is kept
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)  # of RGB in [0, 1]: ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    decode: str = "fast"  # large JPEGs at a reduced scale, no less than twice the size needed; or "exact": whole


def view(data: bytes, settings: ImageSettings, part: Box | None = None) -> Pixels:
    """Return the center of an image as models see it: (3, crop, crop) float32, normalized.

    Args:
        data: the bytes of an image file.
        settings: sizes, mean and standard deviation of the model.
        part: the box to use as the image, in pixels of the upright image; None: all of it.

    Raises:
        ImageError: the image cannot be decoded.
    """
    picture = Picture(data)
    return normalize(square(picture, kept_box(picture, settings, part), settings), settings)


def kept_box(picture: Picture, settings: ImageSettings, part: Box | None = None) -> Box:
    """Return the square of a picture that models see, in pixels of the upright image.

    Args:
        picture: the picture.
        settings: sizes of the model.
        part: the box to use as the image; None: all of it.
    """
    left, top, right, bottom = picture.inside(part)
    side = settings.crop * min(right - left, bottom - top) / settings.resize
    across, down = (right - left - side) / 2, (bottom - top - side) / 2
    return left + across, top + down, right - across, bottom - down


def square(picture: Picture, box: Box, settings: ImageSettings) -> Pixels:
    """Return the part of a picture inside a box, resized and cropped to (crop, crop, 3) in [0, 255].

    Args:
        picture: the picture.
        box: left, top, right, bottom in pixels of the upright image; pixels outside are not used.
        settings: sizes and interpolation of the model.
    """
    return picture.resized(picture.inside(box), settings.crop, settings.interpolation, settings.decode == "exact")


def normalize(rgb: Pixels, settings: ImageSettings) -> Pixels:
    """Convert (H, W, 3) in [0, 255] to (3, H, W) with the model's mean and standard deviation."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (settings.mean, settings.std))
    planes = np.array(rgb.transpose(2, 0, 1), np.float32, order="C")  # plane by plane is several times quicker
    planes *= 1 / (255 * std)
    planes -= mean / std
    return planes
