"""What a product is: parts, each a shape of one material, and the room that they take together."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from materials import Indices, Material
from shapes import Array, Shape

SURVEY_STEP = 0.05
"""Spacing of the points at which a product is measured."""


@dataclass(frozen=True)
class Part:
    """A shape of one material."""

    shape: Shape
    material: Material


@dataclass(frozen=True)
class Product:
    """One thing in the shop's catalog."""

    category: str
    name: str
    parts: tuple[Part, ...]

    def distance(self, p: Array) -> Array:
        """Signed distance to the nearest part."""
        nearest = self.parts[0].shape(p)
        for part in self.parts[1:]:
            nearest = np.minimum(nearest, part.shape(p))
        return nearest

    def part_at(self, p: Array) -> Indices:
        """Index of the nearest part."""
        nearest: Indices = np.argmin(np.stack([part.shape(p) for part in self.parts]), axis=0)
        return nearest

    @cached_property
    def surface_points(self) -> Array:
        """(3, M) points near the surface, evenly spread over the product."""
        across = np.arange(-1.6, 1.6, SURVEY_STEP, dtype=np.float32)
        up = np.arange(0.0, 2.8, SURVEY_STEP, dtype=np.float32)
        grid = np.stack([axis.ravel() for axis in np.meshgrid(across, up, across, indexing="ij")])
        points: Array = grid[:, np.abs(self.distance(grid)) < SURVEY_STEP]
        return points

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The lowest and the highest corner of a box around the product, each (3, 1)."""
        points = self.surface_points
        return points.min(axis=1, keepdims=True) - SURVEY_STEP, points.max(axis=1, keepdims=True) + SURVEY_STEP
