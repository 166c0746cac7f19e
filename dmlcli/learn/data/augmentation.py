"""Random views of a training image: crops, mirror images, other light, and stronger changes in some presets.

Each change is one pass of numpy over all pixels of a view, in the thread that decodes it; every random number comes
from the generator that is handed in.
"""

import random
import re
import zlib
from dataclasses import dataclass

import numpy as np

from dmlcli.embeddings import View
from dmlcli.errors import UsageError, nearest
from dmlcli.image import Box, ImageSettings, Picture, Pixels, normalize, square, view

_RATIO = (3 / 4, 4 / 3)  # of a crop's sides
_ERASED = (0.02, 0.33)  # share of the area (Random Erasing's settings)
_BLUR = (0.5, 2.0)  # pixels, standard deviation
_TILT = 0.2  # of the side: how far a corner moves under perspective


@dataclass(frozen=True)
class Preset:
    """How much views differ; what has a probability happens to that share of them. Half of all are mirrored."""

    area: tuple[float, float] = (1.0, 1.0)  # share of the image that a crop keeps
    light: float = 0.0  # brightness, contrast and saturation each change by up to this share
    gray: float = 0.0  # probability of a view without color
    blur: float = 0.0  # … of a blurred one
    tilt: float = 0.0  # … of one seen askew
    erase: float = 0.0  # … of one with a rectangle missing


PRESETS = {
    "none": None,  # the plain view, always
    "light": Preset(area=(0.4, 1.0), light=0.3),  # photos of products that fill most of the picture
    "retrieval": Preset(area=(0.16, 1.0)),  # crop and mirror alone, as most papers on metric learning train
    "reid": Preset(area=(0.85, 1.0), erase=0.5),  # tight boxes, in part hidden: the re-identification baseline
    "strong": Preset(area=(0.2, 1.0), light=0.4, gray=0.2, blur=0.5, tilt=0.3, erase=0.25),  # one photo a product
}

FAMILIES = {  # that have nothing in common, to imitate the photos of others: `imitate` keeps one of them from each fit
    "near": Preset(area=(0.25, 0.7)),
    "dim": Preset(light=0.5, gray=0.3, blur=0.5),
    "askew": Preset(area=(0.8, 1.0), tilt=1.0, erase=0.3),
}


def preset(name: str) -> Preset | None:
    """Return the preset called `name`, None for `none`; raise UsageError for an unknown one."""
    if name in FAMILIES:
        return FAMILIES[name]
    if name not in PRESETS:
        raise UsageError(f"unknown augmentation '{name}'", hint=nearest(name, list(PRESETS)))
    return PRESETS[name]


def view_names(count: int, seed: int, augment: str = "light") -> list[str]:
    """Return the names of the first views of every image: plain, mirrored, then random ones.

    Args:
        count: number of views.
        seed: of the random views.
        augment: the preset of the random views; `none`: the plain view alone.
    """
    if preset(augment) is None:
        return ["plain"]
    return ["plain", "flip", *(f"{augment}{number}-seed{seed}" for number in range(1, count - 1))][:count]


def family_names(seed: int) -> list[str]:
    """Return a view of every image from each family."""
    return [f"{family}1-seed{seed}" for family in FAMILIES]


def fixed_view(settings: ImageSettings, name: str) -> View:
    """Return the view called `name` (see `view_names`) of every image, the same at each call.

    The random numbers of a view come from its name and the image's bytes.
    """
    if name == "plain":
        return lambda data: view(data, settings)
    if name == "flip":
        return lambda data: np.ascontiguousarray(view(data, settings)[:, :, ::-1])
    augment = re.split(r"\d", name)[0]
    return lambda data: random_view(data, settings, random.Random(f"{name}/{zlib.crc32(data)}"), augment)


def random_view(data: bytes, settings: ImageSettings, rng: random.Random, augment: str = "light") -> Pixels:
    """Return one random view of an image file: (3, crop, crop) float32, normalized.

    Args:
        data: the bytes of the file.
        settings: size and normalization.
        rng: the random numbers.
        augment: the name of a preset.

    Raises: ImageError with the reason.
    """
    how = preset(augment)
    if how is None:
        return view(data, settings)
    picture = Picture(data)
    rgb = square(picture, _random_box(picture, how.area, rng), settings)  # (H, W, 3) in [0, 255]
    if rng.random() < how.tilt:
        rgb = _tilted(rgb, rng)
    if rng.random() < how.blur:
        rgb = _blurred(rgb, rng.uniform(*_BLUR))
    if rng.random() < 0.5:
        rgb = rgb[:, ::-1]
    rgb = _relit(rgb, how.light, rng.random() < how.gray, rng)
    if rng.random() < how.erase:
        _erase(rgb, settings, rng)
    return normalize(rgb, settings)


def _random_box(picture: Picture, area: tuple[float, float], rng: random.Random) -> Box:
    """Return a box of random area and shape inside the picture; the largest centered square where ten tries fail."""
    width, height = picture.width, picture.height
    for _ in range(10):
        wide, high = _random_sides(width * height * rng.uniform(*area), rng)
        if wide <= width and high <= height:
            left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
            return left, top, left + wide, top + high
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def _random_sides(area: float, rng: random.Random) -> tuple[float, float]:
    ratio = float(np.exp(rng.uniform(*np.log(_RATIO))))
    return (area * ratio) ** 0.5, (area / ratio) ** 0.5


def _relit(rgb: Pixels, light: float, gray: bool, rng: random.Random) -> Pixels:
    """Brightness, contrast and saturation at once: together they are one matrix over the colors and one shift."""
    brightness, contrast, saturation = (rng.uniform(1 - light, 1 + light) for _ in range(3))
    kept = 0.0 if gray else saturation
    mixing = np.float32(brightness * contrast) * (kept * np.eye(3) + (1 - kept) / 3).astype(np.float32)
    shift = np.float32((1 - contrast) * brightness * rgb.mean())
    relit: Pixels = (rgb.reshape(-1, 3) @ mixing + shift).clip(0, 255).reshape(rgb.shape)
    return relit


def _blurred(rgb: Pixels, deviation: float) -> Pixels:
    """Convolved with a Gaussian, one side after the other; the border is repeated."""
    reach = int(np.ceil(3 * deviation))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    side = len(rgb)
    tall = np.pad(rgb, ((reach, reach), (0, 0), (0, 0)), mode="edge")
    rgb = sum((weight * tall[at : at + side] for at, weight in enumerate(weights)), np.zeros_like(rgb))
    wide = np.pad(rgb, ((0, 0), (reach, reach), (0, 0)), mode="edge")
    return sum((weight * wide[:, at : at + side] for at, weight in enumerate(weights)), np.zeros_like(rgb))


def _tilted(rgb: Pixels, rng: random.Random) -> Pixels:
    """As from another angle: each corner shows what lay up to a fifth of the side further in."""
    side = len(rgb)
    corners = np.array([(0, 0), (side - 1, 0), (side - 1, side - 1), (0, side - 1)], np.float64)  # (x, y)
    inwards = np.sign(side / 2 - corners) * [[rng.uniform(0, _TILT * side / 2) for _ in "xy"] for _ in corners]
    across, down = _projected(corners, corners + inwards, side)
    x, y = (np.clip(places, 0, side - 1.001) for places in (across, down))
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, below = ((places - whole)[..., None].astype(np.float32) for places, whole in ((x, left), (y, top)))
    left2, top2 = np.minimum(left + 1, side - 1), np.minimum(top + 1, side - 1)
    upper = rgb[top, left] * (1 - right) + rgb[top, left2] * right
    lower = rgb[top2, left] * (1 - right) + rgb[top2, left2] * right
    tilted: Pixels = upper * (1 - below) + lower * below
    return tilted


def _projected(start: np.ndarray, end: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the source x and y (side, side) of each pixel under the projection of four points onto four others."""
    rows, values = [], []
    for (x, y), (u, v) in zip(start, end, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    a, b, c, d, e, f, g, h = np.linalg.solve(np.array(rows), np.array(values))
    y, x = np.mgrid[:side, :side]
    depth = g * x + h * y + 1
    return (a * x + b * y + c) / depth, (d * x + e * y + f) / depth


def _erase(rgb: Pixels, settings: ImageSettings, rng: random.Random) -> None:
    """Fill a random rectangle with the mean color, in place."""
    side = len(rgb)
    wide, high = (min(side, max(1, round(s))) for s in _random_sides(side**2 * rng.uniform(*_ERASED), rng))
    left, top = rng.randrange(side - wide + 1), rng.randrange(side - high + 1)
    rgb[top : top + high, left : left + wide] = np.float32(255) * np.array(settings.mean, np.float32)
