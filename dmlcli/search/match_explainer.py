"""Where a query and a hit resemble each other: both photos with the terms of their cosine by place."""

from typing import NamedTuple

from dmlcli.image import Picture, kept_box, view
from dmlcli.model import Model
from dmlcli.report.query import Part
from dmlcli.search.head_weights import Floats
from dmlcli.search.match_map import MappedView, open_map_model
from dmlcli.types import Box


class MatchedPhoto(NamedTuple):
    """One side of a match."""

    data: bytes  # of the image file
    seen: Box  # the square that the model sees, in pixels of the upright photo
    terms: Floats  # (SIDE, SIDE) of the cosine, over this square


class Match(NamedTuple):
    """A query and a hit; the terms of each side add up to the cosine."""

    query: MatchedPhoto
    hit: MatchedPhoto
    cosine: float


class MatchExplainer:
    """Explains matches of one model; it has no state, so that threads may share it."""

    def __init__(self, model: Model) -> None:
        """Open the maps of a model; raises CannotRun where it has none."""
        self._settings, self._maps = model.record.image, open_map_model(model)

    def explain(self, query: bytes, crop: Part, hit: bytes, box: Part) -> Match:
        """Return where two photos resemble each other.

        Args:
            query: an image file.
            crop: the part of it that was searched with; None: all of it.
            hit: an image file.
            box: the part of it that was indexed; None: all of it.

        Raises:
            ImageError: a photo cannot be read.
        """
        one, other = self._look(query, crop), self._look(hit, box)
        return Match(
            MatchedPhoto(query, kept_box(Picture(query), self._settings, crop), self._maps.match(one, other.vector)),
            MatchedPhoto(hit, kept_box(Picture(hit), self._settings, box), self._maps.match(other, one.vector)),
            float(one.vector @ other.vector),
        )

    def _look(self, data: bytes, part: Part) -> MappedView:
        return self._maps.look(view(data, self._settings, part))
