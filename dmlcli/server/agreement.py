"""Where a photo and an image of the index agree: both as grids of the terms of their cosine."""

from threading import Lock
from typing import Any

from dmlcli.errors import CannotRun
from dmlcli.image import Picture
from dmlcli.model import Model
from dmlcli.search.match_explainer import MatchedPhoto, MatchExplainer
from dmlcli.server.answer_json import SCHEMA


class LazyExplainer:
    """The maps of a model, opened by the first request that needs them."""

    def __init__(self, model: Model | None) -> None:
        self._model, self._lock = model, Lock()
        self._opened: MatchExplainer | CannotRun | None = None  # or why it cannot be opened

    def explainer(self) -> MatchExplainer:
        """Return what explains matches; raises CannotRun where the model has no maps."""
        with self._lock:
            if self._opened is None:
                try:
                    if self._model is None:
                        raise CannotRun("this index was made from embeddings without a model")
                    self._opened = MatchExplainer(self._model)
                except CannotRun as error:
                    self._opened = error
            if isinstance(self._opened, CannotRun):
                raise self._opened
            return self._opened

    def exists(self) -> bool:
        """Return whether the model has maps."""
        try:
            self.explainer()
        except CannotRun:
            return False
        return True


def agreement(explainer: MatchExplainer, photo: bytes, item: bytes) -> dict[str, Any]:
    """Return the cosine of two photos, and its terms by place in each of them.

    Args:
        explainer: of the model.
        photo: an image file, the query.
        item: an image file of the index.

    Raises:
        ImageError: one of them cannot be read.
    """
    match = explainer.explain(photo, None, item, None)
    sides = {"query": _side(match.query), "item": _side(match.hit)}
    return {"schema": SCHEMA, "cosine": round(match.cosine, 6)} | sides


def _side(one: MatchedPhoto) -> dict[str, Any]:
    """Return the terms row by row, and the part of the image that they cover: left, top, width, height as shares."""
    picture, (left, top, right, bottom) = Picture(one.data), one.seen
    width, height = picture.width, picture.height
    box = (left / width, top / height, (right - left) / width, (bottom - top) / height)
    return {
        "rows": one.terms.shape[0],
        "columns": one.terms.shape[1],
        "values": [round(float(value), 6) for value in one.terms.ravel()],
        "box": [round(share, 6) for share in box],
    }
