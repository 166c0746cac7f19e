"""Where a photo resembles an embedding: the cosine as a sum over the places of the photo.

Features are sums over places (search/pooled_maps.py), and the head is linear in them but for what
search/head_weights.py fixes at the photo. What has no place (the biases of the head, which center the features, and
the regularization of the descriptor) is spread evenly: a place counts for what it has beyond the average place of the
training photos. The sum of a map is the cosine of the two embeddings.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dmlcli.errors import CannotRun
from dmlcli.model import Model, head_arrays
from dmlcli.onnx_runtime import open_maps
from dmlcli.search.head_weights import Floats, Head, head_of
from dmlcli.search.pooled_maps import WHOLE, Maps, PartSpec, ViewFeatures, Window, centers, parts_of
from dmlcli.types import Pixels, Vectors

SIDE = 28  # places of a match map across and down: a multiple of the sides of most maps
_TOLERANCE = 1e-4  # of the cosine between the graph's embedding and the one that is pooled again


class MappedView(NamedTuple):
    """A view of a photo with its embedding and the maps that it was pooled from; mirrored ones come second."""

    vector: Vectors  # (D,)
    views: list[Maps]


class MapModel:
    """A model whose embeddings can be taken apart; it has no state, so that threads may share it."""

    def __init__(
        self, run: Callable[[Pixels], tuple[Vectors, dict[str, Pixels]]], specs: tuple[PartSpec, ...], head: Head
    ) -> None:
        self._run, self._specs, self._head = run, specs, head

    def look(self, pixels: Pixels) -> MappedView:
        """Return the embedding and the maps of a view (3, H, W)."""
        vector, maps = self._run(pixels[None])
        count = len(next(iter(maps.values())))
        return MappedView(vector[0], [{name: array[view] for name, array in maps.items()} for view in range(count)])

    def embeddings(self, seen: MappedView, windows: list[Window]) -> Vectors:
        """Return the unit vectors (n, D) of windows of a view, each pooled from the places inside it."""
        rows = [_sum([each.unit for each in self._features(seen, window)])[0] for window in windows]
        return self._head.embeddings(np.stack(rows))

    def match(self, seen: MappedView, target: Vectors) -> Floats:
        """Return the terms (SIDE, SIDE) of the cosine of a view to a unit vector `target` (D,); they add up to it."""
        features = self._features(seen, WHOLE)
        unit, length = _sum([each.unit for each in features])
        linear = self._head.at(unit, target)
        found = np.zeros((SIDE, SIDE), dtype=np.float32)
        rest = linear.constant
        for number, each in enumerate(features):
            terms, left = each.places(linear.weights / length)
            spread = _sum_of_parts(terms)
            found += spread[:, ::-1] if number else spread  # the second view is mirrored
            rest += left
        return found + np.float32(rest / found.size)

    def _features(self, seen: MappedView, window: Window) -> list[ViewFeatures]:
        mirrored = window._replace(left=1 - window.right, right=1 - window.left)
        return [
            ViewFeatures(self._specs, maps, mirrored if number else window) for number, maps in enumerate(seen.views)
        ]


def open_map_model(model: Model) -> MapModel:
    """Return a model that takes its embeddings apart; raises CannotRun where they are no sum over places."""
    record = model.record
    specs = parts_of(record.backbone, record.pooling)
    run = open_maps(model.graph) if model.graph is not None and specs is not None else None
    if specs is None or run is None:
        raise CannotRun(
            f"the model in {model.folder} has no maps: its backbone {record.backbone} does not pool any, or the model "
            "was saved without an inference graph or by an earlier version",
            hint="make it again in a new workspace: dmlcli train CATALOG -w DIR; the default backbone has maps",
        )
    return MapModel(run, specs, head_of(record.head, head_arrays(model) if record.head["kind"] != "identity" else {}))


def _sum(units: list[Floats]) -> tuple[Floats, np.float32]:
    """Return the direction of the sum of the features of all views, and its length."""
    total = np.sum(units, axis=0)
    length = np.float32(max(float(np.linalg.norm(total)), 1e-12))
    return total / length, length


def _sum_of_parts(terms: list[tuple[str, Floats]]) -> Floats:
    found = np.zeros((SIDE, SIDE), dtype=np.float32)
    for name, part in terms:
        down, across = (_spreading(name, count) for count in part.shape)
        found += down @ part @ across.T
    return found


def _spreading(name: str, count: int) -> Floats:
    """Return how the places of a map spread over those of a match map (SIDE, count); columns add up to 1."""
    fine, own = (np.arange(SIDE) + 0.5) / SIDE, centers(name, count)
    step = own[1] - own[0] if count > 1 else 1.0
    near = np.maximum(1 - np.abs(fine[:, None] - own) / max(step, 1 / SIDE), 0)  # a tent around each place
    return np.asarray(near / near.sum(axis=0), dtype=np.float32)
