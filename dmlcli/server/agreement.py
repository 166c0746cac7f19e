"""Where a photo and an image of the index agree: both as grids of shares of their cosine."""

from threading import Lock
from typing import Any

from dmlcli.errors import CannotRun
from dmlcli.image import ImageSettings, Picture, view
from dmlcli.model import Model
from dmlcli.search.match_map import MapModel, open_map_model
from dmlcli.search.query_inputs import QueryInput
from dmlcli.server.answer_json import SCHEMA
from dmlcli.types import Vectors


class LazyMaps:
    """The model of an index with its maps, opened by the first who needs it."""

    def __init__(self, model: Model | None) -> None:
        self._model, self._lock = model, Lock()
        self._opened: MapModel | None = None
        self._reason: CannotRun | None = None  # why it cannot be opened

    def model(self) -> MapModel:
        """Return the model; raises CannotRun where it has no maps."""
        with self._lock:
            if self._opened is None and self._reason is None:
                try:
                    if self._model is None:
                        raise CannotRun("this index was made from embeddings without a model")
                    self._opened = open_map_model(self._model)
                except CannotRun as error:
                    self._reason = error
            if self._opened is None:
                assert self._reason is not None
                raise self._reason
            return self._opened

    def exist(self) -> bool:
        """Return whether the model has maps."""
        try:
            self.model()
        except CannotRun:
            return False
        return True


def agreement(
    maps: MapModel, settings: ImageSettings, photo: QueryInput, item: bytes, target: Vectors
) -> dict[str, Any]:
    """Return the cosine of a photo and an image of the index, and its terms by place in each of them.

    Args:
        maps: the model.
        settings: of its images.
        photo: the query.
        item: the image file of the index.
        target: (D,) its embedding.

    Raises:
        ImageError: one of them cannot be read.
    """
    asked = photo.read_bytes()
    seen, own = maps.look(view(asked, settings)), maps.look(view(item, settings))
    grids = [(asked, maps.match(seen, target)), (item, maps.match(own, seen.vector))]
    sides = [
        {
            "rows": grid.shape[0],
            "columns": grid.shape[1],
            "values": [round(float(value), 6) for value in grid.ravel()],
            "box": _square(data, settings),
        }
        for data, grid in grids
    ]
    return {"schema": SCHEMA, "cosine": round(float(grids[0][1].sum()), 6), "query": sides[0], "item": sides[1]}


def _square(data: bytes, settings: ImageSettings) -> list[float]:
    """Return the part of an image that the model sees: left, top, width, height as shares of its sides."""
    picture = Picture(data)
    side = settings.crop / settings.resize * min(picture.width, picture.height)
    width, height = side / picture.width, side / picture.height
    return [round(share, 6) for share in ((1 - width) / 2, (1 - height) / 2, width, height)]
