"""Where photos are taken: a studio and calm homes for the catalog, calm and busy homes for the queries."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.random import Generator

from materials import (
    BLUSH,
    CHARCOAL,
    CREAM,
    MUSTARD,
    NAVY,
    OAK,
    SAGE,
    TEAL,
    TERRACOTTA,
    WALNUT,
    WHITE,
    Color,
    linear,
)
from shapes import Array
from tracer import Backdrop, Lights, Texture, View

CATALOG_YAWS = (-75, -52, -32, -12, 10, 30, 52, 75)
STYLED_PHOTOS = (1, 3, 6)
"""Catalog photos, counted from 0, that are taken in a calm home instead of on a paper sweep."""
LATTICE = 64
"""Size of the grid of random values behind `noise`, after which it repeats."""

Choice = TypeVar("Choice")


def noise(rng: Generator, octaves: int = 4) -> Callable[[Array, Array], Array]:
    """Smooth random values from -1 to 1 over a plane, detail halving in size `octaves` times."""
    lattice = rng.uniform(-1, 1, (LATTICE, LATTICE)).astype(np.float32)

    def layer(u: Array, v: Array) -> Array:
        column, row = np.floor(u), np.floor(v)
        across, up = u - column, v - row
        across, up = across * across * (3 - 2 * across), up * up * (3 - 2 * up)
        left, below = column.astype(np.int64) % LATTICE, row.astype(np.int64) % LATTICE
        right, above = (left + 1) % LATTICE, (below + 1) % LATTICE
        lower = lattice[below, left] * (1 - across) + lattice[below, right] * across
        upper = lattice[above, left] * (1 - across) + lattice[above, right] * across
        return lower * (1 - up) + upper * up

    def value(u: Array, v: Array) -> Array:
        layers = [layer(u * 2**i + 17 * i, v * 2**i + 5 * i) * 0.5**i for i in range(octaves)]
        total: Array = np.sum(layers, axis=0)
        return total / 1.6

    return value


def _mix(low: Color | Array, high: Color | Array, share: Array) -> Array:
    start, end = (np.asarray(color, dtype=np.float32).reshape(3, -1) for color in (low, high))
    return start + (end - start) * np.clip(share, 0, 1)


def _column(color: Color) -> Array:
    """A color as (3, 1), to spread over N points."""
    return np.array(color, dtype=np.float32)[:, None]


def _pick(rng: Generator, *choices: Choice) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _cell_value(u: Array, v: Array) -> Array:
    """A repeatable pseudo-random value from 0 to 1 for each whole (u, v)."""
    return np.abs(np.sin(np.floor(u) * 12.9898 + np.floor(v) * 78.233) * 43.758) % 1


def planks(rng: Generator) -> Texture:
    """A table or a floor of wooden boards."""
    wood = _pick(rng, OAK, WALNUT, linear("a9713f"), linear("5b3a26"), linear("d2b48a"))
    grain, width = noise(rng), float(rng.uniform(0.5, 1.0))

    def texture(u: Array, v: Array) -> Array:
        board = np.floor(v / width)
        shade = 0.85 + 0.3 * _cell_value(board, np.zeros_like(board))
        streaks = 1 + 0.4 * grain(u * 0.7 + 7 * board, v * 9)
        seam = np.where(np.abs((v / width) % 1 - 0.5) > 0.48, 0.45, 1.0)
        brightness: Array = shade * streaks * seam
        return _column(wood) * brightness

    return texture


def tiles(rng: Generator) -> Texture:
    """Square tiles, plain or in two colors."""
    first = _pick(rng, WHITE, CREAM, SAGE, TERRACOTTA, linear("8fa6b5"))
    second = _pick(rng, first, CHARCOAL, TEAL, NAVY, linear("b7b2a6"))
    stain, width = noise(rng), float(rng.uniform(0.4, 0.7))

    def texture(u: Array, v: Array) -> Array:
        column, row = u / width, v / width
        chequer = (np.floor(column) + np.floor(row)) % 2
        color = _mix(first, second, chequer) * (0.92 + 0.12 * stain(u * 2, v * 2))
        grout = (np.abs(column % 1 - 0.5) > 0.475) | (np.abs(row % 1 - 0.5) > 0.475)
        return np.where(grout, 0.3, color)

    return texture


def gingham(rng: Generator) -> Texture:
    """A checked table cloth."""
    dye = _pick(rng, NAVY, TERRACOTTA, TEAL, MUSTARD, SAGE, linear("a3263a"))
    folds, width = noise(rng, 2), float(rng.uniform(0.25, 0.5))

    def texture(u: Array, v: Array) -> Array:
        share = (((u / width) % 1 < 0.5).astype(np.float32) + ((v / width) % 1 < 0.5)) / 2
        return _mix(WHITE, dye, share) * (0.9 + 0.25 * folds(u * 0.8, v * 0.8))

    return texture


def rug(rng: Generator) -> Texture:
    """A striped rug in strong colors."""
    dyes = [_pick(rng, TERRACOTTA, TEAL, NAVY, MUSTARD, CREAM, BLUSH, SAGE, linear("7a2e4a")) for _ in range(5)]
    table = np.array(dyes, dtype=np.float32).T
    wool, width = noise(rng), float(rng.uniform(0.25, 0.6))

    def texture(u: Array, v: Array) -> Array:
        stripe = np.floor(v / width + 0.06 * wool(u * 6, v * 6)).astype(np.int64) % len(dyes)
        return table[:, stripe] * (0.85 + 0.35 * wool(u * 9, v * 9))

    return texture


def stone(rng: Generator) -> Texture:
    """A veined stone counter."""
    base = _pick(rng, linear("d9d6d0"), linear("4a4e52"), linear("9a8f82"), linear("4f6b5d"))
    vein = _pick(rng, linear("8d8a86"), CREAM, CHARCOAL)
    swirl = noise(rng)
    return lambda u, v: _mix(base, vein, np.exp(-((swirl(u, v) * 6) ** 2)) * 0.7) * (1 + 0.15 * swirl(u * 5, v * 5))


def painted(rng: Generator) -> Texture:
    """A wall in a strong color, lit unevenly."""
    paint = _pick(rng, TEAL, TERRACOTTA, MUSTARD, SAGE, NAVY, BLUSH, linear("6d7f99"), linear("8a4b63"), CREAM)
    patches, slope = noise(rng, 2), float(rng.uniform(-0.12, 0.12))
    return lambda u, v: _column(paint) * np.clip(0.9 + slope * u + 0.3 * patches(u * 0.5, v * 0.5), 0.3, 1.5)


def bricks(rng: Generator) -> Texture:
    """A brick wall, bare or whitewashed."""
    clay = _pick(rng, linear("9c5540"), linear("d8d2c8"), linear("6e625c"))
    rough = noise(rng)

    def texture(u: Array, v: Array) -> Array:
        row = v / 0.32
        column = u / 0.9 + 0.5 * (np.floor(row) % 2)
        joint = (row % 1 < 0.14) | (column % 1 < 0.05)
        shade = 0.75 + 0.4 * _cell_value(column, row) + 0.2 * rough(u * 5, v * 5)
        return np.where(joint, 0.45, _column(clay) * shade)

    return texture


def shelves(rng: Generator) -> Texture:
    """Book shelves, out of focus enough to show spines only."""
    spines = np.array([TERRACOTTA, TEAL, NAVY, MUSTARD, CREAM, SAGE, CHARCOAL, WALNUT], dtype=np.float32).T
    offset = float(rng.uniform(0, 50))

    def texture(u: Array, v: Array) -> Array:
        shelf, spine = v / 1.1 + offset, u / 0.23 + offset
        chosen = (_cell_value(spine, shelf) * 7.99).astype(np.int64)
        top = 0.6 + 0.3 * _cell_value(spine + 3, shelf)
        dark = _column(linear("3a2a20"))
        books = np.where(shelf % 1 < top, spines[:, chosen] * 0.8, dark)
        return np.where(shelf % 1 < 0.1, _column(WALNUT), books)

    return texture


def bokeh(rng: Generator) -> Texture:
    """A far room with colored lights, far out of focus."""
    low, high = _pick(rng, NAVY, CHARCOAL, WALNUT), _pick(rng, TEAL, TERRACOTTA, linear("6b5a80"), SAGE)
    blotches = noise(rng, 2)
    lamps = [(rng.uniform(-5, 5), rng.uniform(0, 5), rng.uniform(0.2, 0.7)) for _ in range(22)]
    glows = [_pick(rng, MUSTARD, CREAM, BLUSH, TEAL, TERRACOTTA) for _ in lamps]

    def texture(u: Array, v: Array) -> Array:
        color = _mix(low, high, 0.5 + 0.7 * blotches(u * 0.5, v * 0.5))
        for (x, y, radius), glow in zip(lamps, glows, strict=True):
            edge = np.clip((radius - np.hypot(u - x, v - y)) / 0.08, 0, 1)
            color = color + _column(glow) * (0.45 * edge)
        return color

    return texture


def linen(rng: Generator) -> Texture:
    """A plain cloth with soft folds."""
    dye = _pick(rng, WHITE, CREAM, linear("c9c4ba"), linear("aeb6bb"), linear("cbb9a4"))
    folds = noise(rng, 3)
    return lambda u, v: _column(dye) * (0.9 + 0.22 * folds(u * 1.3, v * 0.6))


def plaster(rng: Generator) -> Texture:
    """A wall in a light, faint color."""
    paint = _column(_pick(rng, WHITE, CREAM, linear("c3ced6"), linear("cfc8bd")))
    shading = noise(rng, 2)
    return lambda u, v: paint * (1 + 0.1 * shading(u * 0.5, v * 0.5))


BUSY_FLOORS = (planks, tiles, gingham, rug, stone)
BUSY_WALLS = (painted, bricks, shelves, bokeh)
CALM_FLOORS = (planks, linen, linen)
CALM_WALLS = (plaster,)
PAPERS = ("f6f6f4", "e9e9ea", "d0d3d6", "eadfce", "d5e0e5", "e2d9e4", "bcbdbc", "d9e2d2", "ecd8d0")
# Colors of the key light and of the light from all around.
HOME_LIGHTS: tuple[tuple[Color, Color], ...] = (
    ((1.0, 0.85, 0.68), (0.94, 0.88, 0.8)),  # bulb
    ((1.0, 0.92, 0.8), (0.9, 0.9, 0.93)),  # afternoon
    ((0.84, 0.93, 1.08), (0.86, 0.9, 1.0)),  # overcast window
    ((0.96, 1.03, 0.88), (0.88, 0.94, 0.9)),  # fluorescent tube
)


def _direction(yaw: float, elevation: float) -> Array:
    turn, rise = np.radians([yaw, elevation])
    across = np.cos(rise)
    return np.array([np.sin(turn) * across, np.sin(rise), np.cos(turn) * across], dtype=np.float32)


def _color(red: float, green: float, blue: float, brightness: float) -> Array:
    return np.array([red, green, blue], dtype=np.float32) * np.float32(brightness)


def studio_view(rng: Generator, number: int) -> View:
    """The catalog's photo `number`, from 0."""
    return View(
        yaw=CATALOG_YAWS[number] + rng.uniform(-8, 8),
        elevation=rng.uniform(8, 32),
        roll=0.0,
        fill=rng.uniform(0.8, 0.92),
        drift=(rng.uniform(-0.4, 0.4), rng.uniform(-0.4, 0.2)),
        half_view=0.22,
    )


def studio_lights(rng: Generator, camera_yaw: float) -> Lights:
    """Large soft boxes and plenty of fill."""
    key_side = float(rng.choice([-1, 1])) * rng.uniform(25, 60)
    key = rng.uniform(0.55, 0.85)
    warmth = rng.uniform(-0.06, 0.08)
    key_yaw = camera_yaw + key_side
    return Lights(
        key_direction=_direction(key_yaw, rng.uniform(42, 62)),
        key=_color(1 + warmth, 1.0, 1 - warmth, key),
        sky=_color(1.0, 1.0, 1.02, rng.uniform(0.48, 0.6)),
        ground=_color(1.0, 0.99, 0.97, 0.3),
        hardness=rng.uniform(4, 7),
        box_directions=(_direction(key_yaw, 35), _direction(camera_yaw - key_side * 1.4, 20)),
        box_brightness=2.2,
    )


def studio(rng: Generator) -> Backdrop:
    """A paper sweep in a light, faint tint."""
    paper = _column(linear(_pick(rng, *PAPERS)))
    falloff = rng.uniform(0.03, 0.12)

    def floor(u: Array, v: Array) -> Array:
        return paper * np.ones_like(u)

    def wall(u: Array, v: Array) -> Array:
        return paper * (1 - falloff * np.clip(v / 3, 0, 2)) * np.ones_like(u)

    return Backdrop(floor, wall, wall_distance=7.0, wall_yaw=0.0, floor_yaw=0.0, seamless=True)


def snapshot_view(rng: Generator) -> View:
    """A hand-held photo."""
    return View(
        yaw=rng.uniform(-65, 65),
        elevation=rng.uniform(10, 36),
        roll=rng.uniform(-6, 6),
        fill=rng.uniform(0.78, 0.95),
        drift=(rng.uniform(-0.75, 0.75), rng.uniform(-0.7, 0.6)),
        half_view=0.3,
    )


def home_lights(rng: Generator, camera_yaw: float) -> Lights:
    """A bulb, a window or a tube: one tinted key light from anywhere in front or beside, and tinted fill."""
    key_color, fill_color = _pick(rng, *HOME_LIGHTS)
    brightness = rng.uniform(0.75, 1.15)
    key_yaw = camera_yaw + rng.uniform(-95, 95)
    return Lights(
        key_direction=_direction(key_yaw, rng.uniform(28, 65)),
        key=_color(*key_color, brightness=brightness),
        sky=_color(*fill_color, brightness=brightness * rng.uniform(0.5, 0.75)),
        ground=_color(*fill_color, brightness=brightness * 0.3),
        hardness=rng.uniform(6, 18),
        box_directions=(_direction(key_yaw, 30),),
        box_brightness=1.8,
    )


def home(rng: Generator, busy: bool) -> Backdrop:
    """Somebody's table or floor, and the wall behind it: a calm corner, or one full of colors and patterns."""
    floors, walls = (BUSY_FLOORS, BUSY_WALLS) if busy else (CALM_FLOORS, CALM_WALLS)
    return Backdrop(
        _pick(rng, *floors)(rng),
        _pick(rng, *walls)(rng),
        wall_distance=float(rng.uniform(2.2, 4.5)),
        wall_yaw=float(rng.uniform(-25, 25)),
        floor_yaw=float(rng.uniform(0, 180)),
        seamless=False,
    )
