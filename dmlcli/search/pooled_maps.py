"""The features of a backbone from its maps, pooled over a whole view or a part of it, as the inference graph does.

Features are parts side by side (the mean and the maximum of a map, the descriptor's second moments), each of unit
length times its share. Each part is a sum over the places of its map, once its length, the places of maxima and the
root of the moments are known; `places` gives the terms of this sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli.feature_maps import (
    COARSE,
    CONSTANT,
    EARLIER,
    EARLIER_SHARE,
    FINE,
    FINE_SHARE,
    LAST,
    LEAST,
    MAX_SHARE,
    MIDDLE,
    ROUNDS,
)

Floats = NDArray[np.float32]
Maps = Mapping[str, Floats]  # (C, h, w) of one view, by name
Kind = Literal["avg", "max", "moments"]


class PartSpec(NamedTuple):
    """A part of the features: which map it comes from, how it is pooled, its length, and its group."""

    map: str
    kind: Kind
    share: float
    group: int  # parts of one group, side by side, are of unit length together


_MEANS = PartSpec(LAST, "avg", 1.0, 0)
_BOTH = (_MEANS, PartSpec(LAST, "max", MAX_SHARE, 0))
_TRUNKS = {
    "avg": (_MEANS,),
    "max": (PartSpec(LAST, "max", 1.0, 0),),
    "avg+max": _BOTH,
    "two-maps": (*_BOTH, *(each._replace(map=EARLIER, share=EARLIER_SHARE * each.share) for each in _BOTH)),
}
_DESCRIPTOR = (PartSpec(COARSE, "moments", 1.0, 1), PartSpec(FINE, "moments", FINE_SHARE, 1))


def parts_of(backbone: str, pooling: str | None) -> tuple[PartSpec, ...] | None:
    """Return the parts of the features of a model, in order; None if they are no sum over places (gem)."""
    if backbone == "descriptor":
        return _DESCRIPTOR
    trunk = _TRUNKS.get((pooling or "avg").removesuffix("+descriptor"))
    if trunk is None:
        return None
    return (*trunk, *(_DESCRIPTOR if pooling and pooling.endswith("+descriptor") else ()))


class Window(NamedTuple):
    """A part of a view: left, top, right, bottom as shares of its sides, in [0, 1]."""

    left: float
    top: float
    right: float
    bottom: float

    def slices(self, name: str, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a map whose places have their centers inside.

        Args:
            name: of the map.
            height: its rows.
            width: its columns.
        """
        return _inside(name, height, self.top, self.bottom), _inside(name, width, self.left, self.right)


WHOLE = Window(0.0, 0.0, 1.0, 1.0)


def centers(name: str, count: int) -> Floats:
    """Return where the rows (or columns) of a map have their centers, as shares of the side of the view (count,)."""
    border = 1.5 if name in (COARSE, FINE) else 0.0  # a neighborhood is four cells wide
    return np.asarray((np.arange(count) + 0.5 + border) / (count + 2 * border), dtype=np.float32)


def _inside(name: str, count: int, start: float, end: float) -> slice:
    where = np.flatnonzero((centers(name, count) > start) & (centers(name, count) < end))
    if not len(where):
        middle = int(np.abs(centers(name, count) - (start + end) / 2).argmin())
        return slice(middle, middle + 1)
    return slice(int(where[0]), int(where[-1]) + 1)


@dataclass(frozen=True)
class _Part:
    """One part of the features of one view, or of a window of it."""

    spec: PartSpec
    map: Floats  # (C, h, w)

    @cached_property
    def values(self) -> Floats:
        """What is pooled (F_part,), not normalized."""
        if self.spec.kind == "avg":
            return np.asarray(self.map.mean((1, 2)))
        if self.spec.kind == "max":
            return np.asarray(self.map.max((1, 2)))
        return self._moments.values

    @cached_property
    def unit(self) -> Floats:
        """The same of unit length, times its share."""
        return self.values * self._factor

    @property
    def _factor(self) -> np.float32:
        return np.float32(self.spec.share / max(float(np.linalg.norm(self.values)), 1e-12))

    @cached_property
    def _moments(self) -> "_Moments":
        return _Moments(self.map)

    def places(self, weights: Floats) -> tuple[Floats, float]:
        """Return the terms (h, w) of the sum of `unit` times `weights` (F_part,), and a rest that has no place."""
        weights = weights * self._factor
        if self.spec.kind == "avg":
            return np.tensordot(weights, self.map, 1) / self.map[0].size, 0.0
        if self.spec.kind == "moments":
            return self._moments.places(weights)
        found = np.zeros(self.map[0].size, dtype=np.float32)
        np.add.at(found, self.map.reshape(len(self.map), -1).argmax(axis=1), weights * self.values)
        return found.reshape(self.map.shape[1:]), 0.0


class _Moments:
    """The root R of the weighted second moments M of the neighborhoods in a map (D, h, w), as the descriptor has it.

    R = M A, where A is the inverse root that the same iteration gives. With A fixed, R = (A M + M A) / 2 is linear in
    M, and so a sum over neighborhoods.
    """

    def __init__(self, numbers: Floats) -> None:
        height, width = numbers.shape[1:]
        constant = np.full((1, height * width), CONSTANT, dtype=np.float32)
        self._rows = np.concatenate([numbers.reshape(len(numbers), -1), constant])  # (D, h * w)
        across, down = (np.linspace(-1, 1, side, dtype=np.float32) ** 2 for side in (width, height))
        weights = np.exp(-MIDDLE * (down[:, None] + across)).ravel()
        weights /= weights.sum()
        moments = (self._rows * weights) @ self._rows.T
        self._weights, self._shape = weights / np.trace(moments), (height, width)
        self._dim = len(moments)
        regular = moments / np.trace(moments) + LEAST / self._dim * np.eye(self._dim, dtype=np.float32)
        root, self._inverse = _root(np.asarray(regular, dtype=np.float32))
        self._triangle = np.triu_indices(self._dim)
        self._twice = np.where(self._triangle[0] == self._triangle[1], 1.0, 2**0.5).astype(np.float32)
        self.values: Floats = root[self._triangle] * self._twice

    def places(self, weights: Floats) -> tuple[Floats, float]:
        """Return the terms (h, w) of the sum of `values` times `weights`, and the rest."""
        upper = np.zeros((self._dim, self._dim), dtype=np.float32)
        upper[self._triangle] = weights * self._twice
        form = (upper + upper.T) / 2
        form = (self._inverse @ form + form @ self._inverse) / 2
        found = np.einsum("dp,dp->p", self._rows, form @ self._rows) * self._weights
        return found.reshape(self._shape), float(LEAST / self._dim * np.trace(form))


def _root(matrix: Floats) -> tuple[Floats, Floats]:
    """Return the root and the inverse root of a positive matrix (D, D) of trace 1."""
    one = np.eye(len(matrix), dtype=np.float32)
    root: Floats = matrix
    inverse: Floats = one
    for _ in range(ROUNDS):
        step = np.asarray(1.5 * one - 0.5 * (inverse @ root), dtype=np.float32)
        root, inverse = root @ step, step @ inverse
    return root, inverse


class ViewFeatures:
    """The features of one view, or of a window of it."""

    def __init__(self, specs: tuple[PartSpec, ...], maps: Maps, window: Window = WHOLE) -> None:
        self._parts, self._maps = [], maps
        for spec in specs:
            rows, columns = window.slices(spec.map, *maps[spec.map].shape[1:])
            self._parts.append(_Part(spec, maps[spec.map][:, rows, columns]))
        lengths: dict[int, float] = {}
        for part in self._parts:
            lengths[part.spec.group] = lengths.get(part.spec.group, 0.0) + float(part.unit @ part.unit)
        present = sum(length > 0 for length in lengths.values())
        self._factors = [
            np.float32(1 / max(np.sqrt(lengths[part.spec.group] * present), 1e-12)) for part in self._parts
        ]

    @cached_property
    def unit(self) -> Floats:
        """Unit features (F,)."""
        return np.concatenate([part.unit * by for part, by in zip(self._parts, self._factors, strict=True)])

    def places(self, weights: Floats) -> tuple[list[tuple[str, Floats]], float]:
        """Return the terms of the sum `unit` times `weights`: for each part its map and the terms, then the rest.

        Args:
            weights: (F,) of the features.
        """
        found, rest, start = [], 0.0, 0
        for part, by in zip(self._parts, self._factors, strict=True):
            end = start + len(part.values)
            terms, left = part.places(weights[start:end] * by)
            found.append((part.spec.map, terms))
            rest, start = rest + left, end
        return found, rest
