"""Random views of a training image: another crop, mirrored or not, under other light."""

import random
import zlib

import numpy as np

from dmlcli.embeddings import View
from dmlcli.image import ImageSettings, Pixels, normalise, open_image, square, view

_SCALE = (0.4, 1.0)  # share of the image's area that a crop keeps
_RATIO = (3 / 4, 4 / 3)  # of its sides
_LIGHT = 0.3  # brightness, contrast and saturation each change by up to this share


def fixed_view(settings: ImageSettings, name: str) -> View:
    """The view called `name` of every image, the same at each call: `plain`, `flip`, or a random crop.

    The random numbers of a crop come from its name and the image's bytes.
    """
    if name == "plain":
        return lambda data: view(data, settings)
    if name == "flip":
        return lambda data: np.ascontiguousarray(view(data, settings)[:, :, ::-1])
    return lambda data: random_view(data, settings, random.Random(f"{name}/{zlib.crc32(data)}"))


def random_view(data: bytes, settings: ImageSettings, chance: random.Random) -> Pixels:
    """One random view of an image file: (3, crop, crop) float32, normalised."""
    image = open_image(data, at_least=2 * settings.resize)
    box = _random_box(image.width, image.height, chance)
    raw = ImageSettings(settings.resize, settings.crop, settings.interpolation, (0.0, 0.0, 0.0), (1 / 255,) * 3)
    rgb = square(image, box, raw).transpose(1, 2, 0)  # (H, W, 3) in [0, 255]
    if chance.random() < 0.5:
        rgb = rgb[:, ::-1]
    return normalise(_relight(rgb, chance), settings)


def _random_box(width: int, height: int, chance: random.Random) -> tuple[float, float, float, float]:
    """A box of random area and shape inside the image; the largest centred square-ish one where ten tries fail."""
    for _ in range(10):
        area = width * height * chance.uniform(*_SCALE)
        ratio = np.exp(chance.uniform(*np.log(_RATIO)))
        wide, high = (area * ratio) ** 0.5, (area / ratio) ** 0.5
        if wide <= width and high <= height:
            left, top = chance.uniform(0, width - wide), chance.uniform(0, height - high)
            return left, top, left + wide, top + high
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _relight(rgb: Pixels, chance: random.Random) -> Pixels:
    brightness, contrast, saturation = (chance.uniform(1 - _LIGHT, 1 + _LIGHT) for _ in range(3))
    rgb = rgb * np.float32(brightness)
    rgb = (rgb - rgb.mean()) * np.float32(contrast) + rgb.mean()
    grey = rgb.mean(axis=2, keepdims=True)
    relit: Pixels = ((rgb - grey) * np.float32(saturation) + grey).clip(0, 255)
    return relit
