"""What surfaces are made of: the shop's palette, finishes, and patterns painted in object space."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shapes import Array, Shape

Indices = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
Color = tuple[float, float, float]
Mapping = Callable[[Array], tuple[Array, Array]]
Pattern = Callable[[Array], Indices]
"""From object-space points to the index of the material's color at each."""


def linear(hex_color: str) -> Color:
    """Linear-light RGB of an sRGB color written as six hexadecimal digits."""
    red, green, blue = (((int(hex_color[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (0, 2, 4))
    return red, green, blue


WHITE, CREAM, MUSTARD, BLUSH = linear("f2f1ec"), linear("eadfc8"), linear("d9a032"), linear("dba79a")
TERRACOTTA, SAGE, TEAL, NAVY = linear("b9563a"), linear("93a887"), linear("23808a"), linear("26375f")
CHARCOAL, OAK, WALNUT = linear("3b3d42"), linear("c49a66"), linear("7d5537")
BRASS, STEEL, COPPER = linear("d8b165"), linear("c9ccd0"), linear("cf8b66")


@dataclass(frozen=True)
class Finish:
    """How a surface answers light, apart from its color."""

    reflectance: float
    """Share of light mirrored at right angles."""
    gloss: float
    """Sharpness of the highlight: the Blinn-Phong exponent."""
    metallic: bool = False
    texture: Callable[[Array], Array] | None = None
    """Brightness factor over object space, around 1."""
    glow: float = 0.0
    """Light let through from within, as a lamp shade does."""


def _wood_grain(p: Array) -> Array:
    wobble = np.sin(2.1 * p[1] + 1.3 * p[0]) + 0.5 * np.sin(5.3 * p[0] + 4.1 * p[2] + 1.0)
    rings: Array = np.sin(26 * (p[0] + 0.6 * p[2]) + 5 * p[1] + 4 * wobble)
    return 1 + 0.13 * rings


def _weave(p: Array) -> Array:
    threads: Array = np.sin(75 * (p[0] + 0.3 * p[2])) * np.sin(75 * (p[1] + 0.3 * p[2]))
    return 1 + 0.06 * threads


def _brushing(p: Array) -> Array:
    scratches: Array = np.sin(140 * p[1]) * np.sin(31 * p[1])
    return 1 + 0.05 * scratches


CERAMIC = Finish(0.055, 110)
MATT_CERAMIC = Finish(0.03, 22)
PLASTIC = Finish(0.045, 45)
RUBBER = Finish(0.03, 12)
CARD = Finish(0.015, 8)
LEATHER = Finish(0.04, 26)
METAL = Finish(0.7, 80, metallic=True)
BRUSHED_METAL = Finish(0.65, 55, metallic=True, texture=_brushing)
WOOD = Finish(0.03, 24, texture=_wood_grain)
CLOTH = Finish(0.01, 4, texture=_weave)
LAMP_SHADE = Finish(0.01, 4, texture=_weave, glow=0.28)


@dataclass(frozen=True)
class Material:
    """A finish, its colors, and the pattern that says where each color goes."""

    finish: Finish
    colors: tuple[Color, ...]
    pattern: Pattern | None = None

    def albedo(self, p: Array) -> Array:
        """(3, N) linear colors at object-space points."""
        table = np.array(self.colors, dtype=np.float32).T
        index = self.pattern(p) if self.pattern else np.zeros(p.shape[1], dtype=np.int32)
        color = table[:, index]
        return color * self.finish.texture(p) if self.finish.texture else color


def around(p: Array) -> tuple[Array, Array]:
    """Cylinder coordinates: turns about the y axis (0 faces the viewer, from -0.5 to 0.5), and height."""
    return np.arctan2(p[0], p[2]) / (2 * np.pi), p[1]


def front(p: Array) -> tuple[Array, Array]:
    """Coordinates as seen from the front or the back."""
    return p[0], p[1]


def side(p: Array) -> tuple[Array, Array]:
    """Coordinates as seen from the left or the right."""
    return p[2], p[1]


def above(p: Array) -> tuple[Array, Array]:
    """Coordinates as seen from above."""
    return p[0], p[2]


def plain(p: Array) -> Indices:
    """Color 0 everywhere."""
    return np.zeros(p.shape[1], dtype=np.int32)


def stripes(period: float, share: float = 0.5, mapping: Mapping = around, upright: bool = False) -> Pattern:
    """Color 1 on `share` of every `period`, lying or upright."""

    def pattern(p: Array) -> Indices:
        u, v = mapping(p)
        return (((u if upright else v) / period) % 1 < share).astype(np.int32)

    return pattern


def checks(width: float, height: float, mapping: Mapping = around) -> Pattern:
    """A chessboard of colors 0 and 1."""

    def pattern(p: Array) -> Indices:
        u, v = mapping(p)
        index: Indices = (np.floor(u / width) + np.floor(v / height)).astype(np.int32) % 2
        return index

    return pattern


def dots(width: float, height: float, radius: float, mapping: Mapping = around, stretch: float = 1.0) -> Pattern:
    """Staggered dots of color 1; `stretch` is the length of one unit of u in units of v."""

    def pattern(p: Array) -> Indices:
        u, v = mapping(p)
        row = np.floor(v / height)
        du = ((u / width + 0.5 * (row % 2)) % 1 - 0.5) * width * stretch
        dv = ((v / height) % 1 - 0.5) * height
        index: Indices = (du * du + dv * dv < radius * radius).astype(np.int32)
        return index

    return pattern


def zigzag(width: float, height: float, swing: float, mapping: Mapping = around, share: float = 0.5) -> Pattern:
    """Stripes of color 1 that run in points `swing` high."""

    def pattern(p: Array) -> Indices:
        u, v = mapping(p)
        point = np.abs((u / width) % 1 - 0.5) * 2 * swing
        index: Indices = (((v + point) / height) % 1 < share).astype(np.int32)
        return index

    return pattern


def diagonal(period: float, share: float = 0.5, slope: float = 1.0, mapping: Mapping = front) -> Pattern:
    """Slanting stripes of color 1."""

    def pattern(p: Array) -> Indices:
        u, v = mapping(p)
        return (((u + slope * v) / period) % 1 < share).astype(np.int32)

    return pattern


def within(
    pattern: Pattern, u: tuple[float, float], v: tuple[float, float], mapping: Mapping = around, offset: int = 0
) -> Pattern:
    """`pattern`, its indices raised by `offset`, inside a window of the mapping; color 0 elsewhere."""

    def windowed(p: Array) -> Indices:
        at_u, at_v = mapping(p)
        shown = (at_u > u[0]) & (at_u < u[1]) & (at_v > v[0]) & (at_v < v[1])
        return np.where(shown, pattern(p) + offset, 0).astype(np.int32)

    return windowed


def band(low: float, high: float, color: int = 1) -> Pattern:
    """A ring of one color between two heights."""
    return within(plain, (-9, 9), (low, high), offset=color)


def label(u: tuple[float, float], v: tuple[float, float], mapping: Mapping = around) -> Pattern:
    """A paper label (color 1) with a round mark (color 2) and two lines of "print" (color 3)."""

    def pattern(p: Array) -> Indices:
        at_u, at_v = mapping(p)
        x = (at_u - u[0]) / (u[1] - u[0])
        y = (at_v - v[0]) / (v[1] - v[0])
        on_label = (x > 0) & (x < 1) & (y > 0) & (y < 1)
        mark = (x - 0.5) ** 2 / 0.05 + (y - 0.66) ** 2 / 0.05 < 1
        line = (np.abs(x - 0.5) < 0.36) & ((np.abs(y - 0.29) < 0.06) | (np.abs(y - 0.13) < 0.04))
        return np.where(on_label, np.where(mark, 2, np.where(line, 3, 1)), 0).astype(np.int32)

    return pattern


def over(*patterns: Pattern) -> Pattern:
    """Patterns painted on top of each other, the first at the bottom; color 0 lets the one below show."""

    def painted(p: Array) -> Indices:
        index = patterns[0](p)
        for pattern in patterns[1:]:
            top = pattern(p)
            index = np.where(top > 0, top, index)
        return index

    return painted


def lined(pattern: Pattern, solid: Shape, depth: float, color: int) -> Pattern:
    """`pattern` outside and one color inside: where `solid`, the vessel filled up, is deeper than `depth`."""
    return lambda p: np.where(solid(p) < -depth, color, pattern(p)).astype(np.int32)
