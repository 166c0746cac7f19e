"""Boxes of a photo that may show one object, from a map of the backbone: those that differ most from what is around.

A box divides the places of a map in two. Its score is the variance between the two halves, a (1 - a) |m - m'|^2 with
the share a of the box and the mean of the map inside and outside: the division of Otsu (IEEE SMC 1979), over all
channels and with a box in place of a threshold. It needs neither weights nor a gallery.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dmlcli.feature_maps import COARSE, EARLIER, LAST
from dmlcli.search.pooled_maps import Floats, Maps, Window, centers

_MOST_PLACES = 14  # of a map across and down; larger ones are averaged in blocks
_LEAST, _MOST = 0.4, 0.8  # sides of a box, as shares of the photo's
_LONGEST = 1.6  # times the other side, as shares
_APART = 0.5  # intersection over union above which two boxes are one


def candidates(views: Sequence[Maps], count: int, apart: float = _APART) -> list[Window]:
    """Return the best boxes of a photo, best first.

    Args:
        views: the maps of a view of the whole photo; those of its mirror image come second.
        count: boxes at most.
        apart: the intersection over union of two of them is lower, in (0, 1].
    """
    name = next(each for each in (EARLIER, COARSE, LAST) if each in views[0])
    grid = np.mean([_blocks(maps[name][:, :, ::-1] if number else maps[name]) for number, maps in enumerate(views)], 0)
    boxes = _boxes(*grid.shape[1:])
    edges = [_edges(name, length) for length in grid.shape[1:]]
    found: list[Window] = []
    for place in np.argsort(-_contrasts(grid, boxes), kind="stable"):
        top, left, bottom, right = boxes[place]
        window = Window(edges[1][left], edges[0][top], edges[1][right], edges[0][bottom])
        if all(overlap(window, other) < apart for other in found):
            found.append(window)
        if len(found) == count:
            break
    return found


def overlap(one: Window, other: Window) -> float:
    """Return the intersection over union of two boxes, in [0, 1]."""
    across = max(0.0, min(one.right, other.right) - max(one.left, other.left))
    down = max(0.0, min(one.bottom, other.bottom) - max(one.top, other.top))
    both = across * down
    return both / (_area(one) + _area(other) - both)


def _area(window: Window) -> float:
    return (window.right - window.left) * (window.bottom - window.top)


def _blocks(grid: Floats) -> Floats:
    """Return the means of blocks of a map (C, h, w), so that its sides have at most as many places as are searched."""
    by = -(-max(grid.shape[1:]) // _MOST_PLACES)
    height, width = (max(1, length // by) for length in grid.shape[1:])
    cut = grid[:, : height * by, : width * by] if by > 1 else grid
    return np.asarray(cut.reshape(len(grid), height, -1, width, cut.shape[2] // width).mean((2, 4)))


def _edges(name: str, count: int) -> list[float]:
    """Return where the places of a row (or column) begin and end, count + 1 shares; the outer ones are the photo's."""
    middles = centers(name, count)
    return [0.0, *((middles[1:] + middles[:-1]) / 2).tolist(), 1.0]


@cache
def _boxes(height: int, width: int) -> NDArray[np.int64]:
    """Return all boxes (n, 4) of a grid: top, left, bottom, right in places, the last two not included."""
    sides = [range(max(1, round(_LEAST * length)), round(_MOST * length) + 1) for length in (height, width)]
    return np.array(
        [
            (top, left, top + down, left + across)
            for down in sides[0]
            for across in sides[1]
            if max(down / height, across / width) <= _LONGEST * min(down / height, across / width)
            for top in range(height - down + 1)
            for left in range(width - across + 1)
        ]
    )


def _contrasts(grid: Floats, boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the score of each box (n,) in a map (C, h, w)."""
    sums = np.zeros((len(grid), grid.shape[1] + 1, grid.shape[2] + 1))
    sums[:, 1:, 1:] = grid.cumsum(1, dtype=np.float64).cumsum(2)
    top, left, bottom, right = boxes.T
    inside = sums[:, bottom, right] - sums[:, top, right] - sums[:, bottom, left] + sums[:, top, left]
    places = grid.shape[1] * grid.shape[2]
    area = (bottom - top) * (right - left)
    difference = inside / area - (sums[:, -1, -1:] - inside) / np.maximum(places - area, 1)
    share = area / places
    return np.asarray(np.square(difference).sum(0) * share * (1 - share))
