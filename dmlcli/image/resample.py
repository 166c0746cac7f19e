"""Resizing: each pixel of the result is the weighted mean of all source pixels under its filter.

The filters and their supports are Pillow's, so that the result differs from `Image.resize(..., box=...)` only by not
being rounded (at most one level of 255 once it is). Done as small matrix products, it takes half the time.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.image.scratch import scratch
from dmlcli.types import Box

Floats = NDArray[np.float32]
_GROUP = 4  # neighboring pixels of the result that are made by one product
_ALONE = 1 << 18  # multiply-adds up to which OpenBLAS stays in its caller's thread; threads decode beside each other


class _Taps(NamedTuple):
    """What to weigh for groups of pixels of the result, along one side."""

    first: NDArray[np.intp]  # (groups,) the first source pixel
    weights: Floats  # (groups, _GROUP, window)

    @property
    def window(self) -> int:
        return int(self.weights.shape[2])

    @property
    def span(self) -> tuple[int, int]:
        """The source pixels that count at all."""
        return int(self.first.min()), int(self.first.max()) + self.window


def resample(source: NDArray[np.uint8], box: Box, side: int, interpolation: str) -> Floats:
    """Shrink (or enlarge) part of a picture to a square.

    Args:
        source: (H, W, 3).
        box: the part, inside the picture.
        side: pixels of the result.
        interpolation: `bilinear` or `bicubic`.

    Returns: (side, side, 3) in [0, 255], not rounded.
    """
    height, width, _ = source.shape
    left, top, right, bottom = box
    rows = _taps(height, top, bottom, side, interpolation)
    columns = _taps(width, left, right, side, interpolation)
    start, stop = columns.span
    upright = _vertical(source[:, start:stop].reshape(height, -1), rows)[:side]  # (side, (stop - start) * 3)
    result = _horizontal(upright, columns, start)[:, : 3 * side].reshape(side, side, 3)
    return result if interpolation == "bilinear" else result.clip(0, 255)  # bicubic overshoots at edges


def _vertical(source: NDArray[np.uint8], rows: _Taps) -> Floats:
    """Resize vertically: (H, N) -> (groups * _GROUP, N)."""
    count = source.shape[1]
    result = scratch("tall", (len(rows.first), _GROUP, count), np.float32)
    strip = scratch("strip", (rows.window, count), np.float32)
    tile = max(1, _ALONE // (_GROUP * rows.window))
    for first, weights, target in zip(rows.first.tolist(), rows.weights, result, strict=True):
        strip[...] = source[first : first + rows.window]
        for at in range(0, count, tile):
            np.matmul(weights, strip[:, at : at + tile], out=target[:, at : at + tile])
    return result.reshape(-1, count)


def _horizontal(source: Floats, columns: _Taps, start: int) -> Floats:
    """Resize horizontally: (H, W * 3) -> (H, groups * _GROUP * 3); `start` is the first source column.

    The three colors lie side by side, so each weight stands three times in the matrix, and zeros between.
    """
    result = np.empty((len(source), len(columns.first), _GROUP * 3), np.float32)
    matrices = np.zeros((len(columns.first), columns.window, 3, _GROUP, 3), np.float32)
    for color in range(3):
        matrices[:, :, color, :, color] = columns.weights.transpose(0, 2, 1)
    tile = max(1, _ALONE // (columns.window * _GROUP * 9))
    flat = matrices.reshape(len(columns.first), columns.window * 3, _GROUP * 3)
    for group, first in enumerate(columns.first.tolist()):
        part = source[:, 3 * (first - start) : 3 * (first - start + columns.window)]
        for at in range(0, len(source), tile):
            np.matmul(part[at : at + tile], flat[group], out=result[at : at + tile, group])
    return result.reshape(len(source), -1)


@lru_cache(64)
def _taps(length: int, start: float, stop: float, count: int, interpolation: str) -> _Taps:
    """Return the weights of `length` source pixels for `count` pixels that lie evenly between `start` and `stop`."""
    scale = (stop - start) / count
    stretch = max(scale, 1.0)  # an enlarged picture is interpolated, a shrunk one averaged
    support = (1 if interpolation == "bilinear" else 2) * stretch
    padded = -(-count // _GROUP) * _GROUP  # the last pixel again, to fill the last group
    centers = start + (np.minimum(np.arange(padded), count - 1) + 0.5) * scale
    low = np.clip((centers - support + 0.5).astype(np.intp), 0, length - 1)
    high = np.clip((centers + support + 0.5).astype(np.intp), low + 1, length)
    first = low.reshape(-1, _GROUP)[:, 0]
    window = int((high.reshape(-1, _GROUP)[:, -1] - first).max())
    first = np.minimum(first, length - window)
    places = first[:, None, None] + np.arange(window)  # (groups, 1, window)
    within = (places >= low.reshape(-1, _GROUP, 1)) & (places < high.reshape(-1, _GROUP, 1))
    weights = _triangle if interpolation == "bilinear" else _cubic
    raw = weights(np.abs((places + 0.5 - centers.reshape(-1, _GROUP, 1)) / stretch)) * within
    return _Taps(first, (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32))


def _triangle(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(1 - distance, 0)


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Keys' cubic kernel with a = -1/2."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    weights: NDArray[np.float64] = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weights
