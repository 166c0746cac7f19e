"""Solid shapes as signed distance functions.

A shape is a function from points, a (3, N) float32 array in object space (x right, y up, z towards the viewer, the
ground at y = 0), to N distances: negative inside, positive outside, never larger than the true distance.
Everything with a drawn outline (a lathe's profile, a shoe's side view, a handle's center line) goes through
`PlaneField`, a two-dimensional distance function tabulated once and then read back by interpolation.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Shape = Callable[[Array], Array]
PlaneDistance = Callable[[Array, Array], Array]
Point = tuple[float, float, float]
Curve = Sequence[tuple[float, float]]

GRID_CELL = 0.01
GRID_MARGIN = 0.12


class PlaneField:
    """A distance function of the plane, tabulated over a rectangle and read back bilinearly."""

    def __init__(self, distance: PlaneDistance, low: tuple[float, float], high: tuple[float, float]) -> None:
        self.low = (low[0] - GRID_MARGIN, low[1] - GRID_MARGIN)
        self.columns = int((high[0] + GRID_MARGIN - self.low[0]) / GRID_CELL) + 2
        self.rows = int((high[1] + GRID_MARGIN - self.low[1]) / GRID_CELL) + 2
        u = self.low[0] + GRID_CELL * np.arange(self.columns, dtype=np.float32)
        v = self.low[1] + GRID_CELL * np.arange(self.rows, dtype=np.float32)
        grid_u, grid_v = np.meshgrid(u, v)
        self.table = distance(grid_u.ravel(), grid_v.ravel()).astype(np.float32)

    def __call__(self, u: Array, v: Array) -> Array:
        column = (u - self.low[0]) * (1 / GRID_CELL)
        row = (v - self.low[1]) * (1 / GRID_CELL)
        inside_column = np.clip(column, 0, self.columns - 1.001)
        inside_row = np.clip(row, 0, self.rows - 1.001)
        left = inside_column.astype(np.int32)
        below = inside_row.astype(np.int32)
        across = inside_column - left.astype(np.float32)
        up = inside_row - below.astype(np.float32)
        corner = below * self.columns + left
        lower = self.table[corner] * (1 - across) + self.table[corner + 1] * across
        upper = self.table[corner + self.columns] * (1 - across) + self.table[corner + self.columns + 1] * across
        within: Array = lower * (1 - up) + upper * up
        # The rectangle is convex, so this never exceeds the true distance of a point outside it.
        outside = ((column - inside_column) ** 2 + (row - inside_row) ** 2) * GRID_CELL**2
        return np.where(outside > 0, np.sqrt(outside + within**2), within)


def spline(points: Curve, steps: int = 8) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through `points`; a doubled point makes a corner."""
    knots = np.array([points[0], *points, points[-1]], dtype=np.float64)
    curve: list[tuple[float, float]] = []
    for before, start, end, after in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        for t in np.arange(steps) / steps:
            tangent_in, tangent_out = (end - before) / 2, (after - start) / 2
            bend = 3 * (end - start) - 2 * tangent_in - tangent_out
            twist = 2 * (start - end) + tangent_in + tangent_out
            x, y = start + t * (tangent_in + t * (bend + t * twist))
            curve.append((float(x), float(y)))
    return [*curve, (float(points[-1][0]), float(points[-1][1]))]


def _polyline_distance(points: Curve, u: Array, v: Array) -> Array:
    nearest = np.full(u.shape, np.inf, dtype=np.float32)
    for (au, av), (bu, bv) in pairwise(points):
        du, dv = bu - au, bv - av
        length2 = du * du + dv * dv
        if length2 > 0:
            along = np.clip(((u - au) * du + (v - av) * dv) / length2, 0, 1)
            nearest = np.minimum(nearest, (u - au - along * du) ** 2 + (v - av - along * dv) ** 2)
    return np.sqrt(nearest)


def _polygon_distance(corners: Curve, u: Array, v: Array) -> Array:
    ring = [*corners, corners[0]]
    inside = np.zeros(u.shape, dtype=bool)
    for (au, av), (bu, bv) in pairwise(ring):
        if av != bv:
            inside ^= ((av > v) != (bv > v)) & (u < au + (v - av) * ((bu - au) / (bv - av)))
    return np.where(inside, -1, 1) * _polyline_distance(ring, u, v)


def _span(points: Curve) -> tuple[tuple[float, float], tuple[float, float]]:
    us, vs = [u for u, _ in points], [v for _, v in points]
    return (min(us), min(vs)), (max(us), max(vs))


def polygon(corners: Curve) -> PlaneField:
    """Signed distance to a closed outline."""
    return PlaneField(lambda u, v: _polygon_distance(corners, u, v), *_span(corners))


def stroke(points: Curve) -> PlaneField:
    """Unsigned distance to an open line."""
    return PlaneField(lambda u, v: _polyline_distance(points, u, v), *_span(points))


def profile(wall: Curve) -> PlaneField:
    """The solid of revolution's half outline: `wall` runs from the foot to the top as (radius, height)."""
    # Mirrored, so that the axis is not an edge of the outline and distances near it stay right.
    mirrored = [(-radius, height) for radius, height in reversed(wall)]
    return polygon([*wall, *mirrored])


def hollow_profile(wall: Curve, thickness: float) -> PlaneField:
    """A vessel's half outline: the shell of `wall`, open at its top."""
    rim_radius, top = wall[-1]
    raised = [*wall, (rim_radius, top + 0.4)]
    outline = [*raised, *((-radius, height) for radius, height in reversed(raised))]

    def shell(u: Array, v: Array) -> Array:
        solid = _polygon_distance(outline, u, v)
        return smooth_max(np.abs(solid + thickness / 2) - thickness / 2, v - top, thickness * 0.6)

    low, high = _span(wall)
    return PlaneField(shell, (0.0, low[1]), high)


def lathe(field: PlaneField) -> Shape:
    """`field` of (radius, height), turned around the y axis."""
    return lambda p: field(np.hypot(p[0], p[2]), p[1])


def prism(field: PlaneField, half_depth: float, rounding: float = 0.02) -> Shape:
    """`field` of (x, y), extended along z."""
    return lambda p: smooth_max(field(p[0], p[1]), np.abs(p[2]) - half_depth, rounding)


def plate(field: PlaneField, low: float, high: float, rounding: float = 0.02) -> Shape:
    """`field` of (x, z), extended from one height to another."""
    middle, half = (low + high) / 2, (high - low) / 2
    return lambda p: smooth_max(field(p[0], p[2]), np.abs(p[1] - middle) - half, rounding)


def shade(line: PlaneField, thickness: float) -> Shape:
    """A thin shell of revolution around the line `line` of (radius, height)."""
    return lambda p: line(np.hypot(p[0], p[2]), p[1]) - thickness / 2


def ribbon(line: PlaneField, half_width: float, thickness: float) -> Shape:
    """A bent board: the line `line` of (z, y), extended along x, with rounded edges."""

    def distance(p: Array) -> Array:
        over = np.maximum(np.abs(p[0]) - half_width, 0)
        middle: Array = np.hypot(line(p[2], p[1]), over)
        return middle - thickness / 2

    return distance


def tube(line: PlaneField, radius: float, taper: float = 0.0, flatness: float = 1.0) -> Shape:
    """A round bar along a line in the x-y plane; `taper` is the growth of its radius along x."""
    return lambda p: (np.hypot(line(p[0], p[1]), p[2] * flatness) - (radius + taper * p[0])) * min(1.0, 0.9 / flatness)


def ball(center: Point, radii: Point) -> Shape:
    """An ellipsoid."""

    def distance(p: Array) -> Array:
        x, y, z = ((p[i] - center[i]) / radii[i] for i in range(3))
        relative: Array = np.sqrt(x * x + y * y + z * z)
        return (relative - 1) * min(radii)

    return distance


def block(center: Point, half: Point, rounding: float = 0.02) -> Shape:
    """A box with rounded edges; `half` are its half sizes, edges included."""

    def distance(p: Array) -> Array:
        x, y, z = (np.abs(p[i] - center[i]) - (half[i] - rounding) for i in range(3))
        outside = np.sqrt(np.maximum(x, 0) ** 2 + np.maximum(y, 0) ** 2 + np.maximum(z, 0) ** 2)
        nearest: Array = outside + np.minimum(np.maximum(np.maximum(x, y), z), 0)
        return nearest - rounding

    return distance


def disc(height: float, radius: float, half_height: float, rounding: float = 0.02) -> Shape:
    """An upright cylinder centerd on the axis at `height`."""

    def distance(p: Array) -> Array:
        out = np.hypot(p[0], p[2]) - (radius - rounding)
        up = np.abs(p[1] - height) - (half_height - rounding)
        nearest: Array = np.hypot(np.maximum(out, 0), np.maximum(up, 0)) + np.minimum(np.maximum(out, up), 0)
        return nearest - rounding

    return distance


def rod(start: Point, end: Point, radius: float, end_radius: float | None = None) -> Shape:
    """A straight bar with round ends, tapering to `end_radius`."""
    step = [b - a for a, b in zip(start, end, strict=True)]
    length2 = sum(s * s for s in step)
    growth = (radius if end_radius is None else end_radius) - radius

    def distance(p: Array) -> Array:
        x, y, z = (p[i] - start[i] for i in range(3))
        along = np.clip((x * step[0] + y * step[1] + z * step[2]) / length2, 0, 1)
        across = np.sqrt((x - along * step[0]) ** 2 + (y - along * step[1]) ** 2 + (z - along * step[2]) ** 2)
        distance: Array = across - (radius + growth * along)
        return distance

    return distance


def smooth_max(a: Array, b: Array, blend: float) -> Array:
    """The larger of two distances (the shapes' intersection), its crease rounded over `blend`."""
    overlap = np.maximum(blend - np.abs(a - b), 0) * (1 / blend)
    return np.maximum(a, b) + overlap * overlap * (blend / 4)


def scaled(curve: Curve, width: float, height: float) -> list[tuple[float, float]]:
    """A drawn line, stretched."""
    return [(x * width, y * height) for x, y in curve]


def union(*shapes: Shape) -> Shape:
    """All of the shapes as one."""

    def distance(p: Array) -> Array:
        nearest = shapes[0](p)
        for shape in shapes[1:]:
            nearest = np.minimum(nearest, shape(p))
        return nearest

    return distance


def carved(shape: Shape, tool: Shape, blend: float = 0.03) -> Shape:
    """`shape` with `tool` cut away."""
    return lambda p: smooth_max(shape(p), -tool(p), blend)


def common(first: Shape, second: Shape, blend: float) -> Shape:
    """What both shapes fill, its creases rounded over `blend`."""
    return lambda p: smooth_max(first(p), second(p), blend)


def moved(shape: Shape, x: float, y: float, z: float) -> Shape:
    """`shape` shifted by (x, y, z)."""
    offset = np.array([[x], [y], [z]], dtype=np.float32)
    return lambda p: shape(p - offset)


def leaned(shape: Shape, degrees: float) -> Shape:
    """`shape` leaned about the z axis, its top towards the right."""
    cosine, sine = float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))
    return lambda p: shape(np.stack([cosine * p[0] - sine * p[1], sine * p[0] + cosine * p[1], p[2]]))


def narrowed(shape: Shape, rate: float) -> Shape:
    """`shape`, growing narrower along z with height (wider where `rate` is negative)."""
    # Scaled down, since stretching space overstates distances.
    return lambda p: shape(np.stack([p[0], p[1], p[2] * (1 + rate * p[1])])) * 0.75


def mirrored(shape: Shape, axes: str) -> Shape:
    """`shape`, given on the positive side, repeated across each plane named in `axes` (of "xz")."""

    def distance(p: Array) -> Array:
        x = np.abs(p[0]) if "x" in axes else p[0]
        z = np.abs(p[2]) if "z" in axes else p[2]
        return shape(np.stack([x, p[1], z]))

    return distance


def ribbed(shape: Shape, count: int, depth: float) -> Shape:
    """`shape` with `count` upright ribs around the y axis, `depth` high and as deep."""

    def distance(p: Array) -> Array:
        radius = np.maximum(np.hypot(p[0], p[2]), 0.05)
        wider = 1 + depth * np.cos(count * np.arctan2(p[2], p[0])) / radius
        # Scaled down, since the ribs steepen the distance function.
        return shape(np.stack([p[0] * wider, p[1], p[2] * wider])) * 0.75

    return distance
