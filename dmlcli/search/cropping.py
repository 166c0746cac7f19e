"""Photos to the vectors of their crops: the whole photo, and the boxes that may show one object (--crop auto, each)."""

import time
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from dmlcli.errors import ImageError
from dmlcli.image import Picture, normalize, square, view
from dmlcli.model import Model
from dmlcli.report.query import Stage
from dmlcli.search.crop_boxes import candidates
from dmlcli.search.encoding import Encoded, made
from dmlcli.search.match_map import open_map_model
from dmlcli.search.query_inputs import QueryInput
from dmlcli.types import Box, Forward, Vectors

CropMode = Literal["auto", "each"]
# that are embedded: a second one for auto adds 1.6 points of Recall@1 on pasted photos, and a third of the time
_BOXES = {"auto": 1, "each": 6}
_APART = {"auto": 0.5, "each": 0.3}  # intersection over union that two boxes stay below


class Crop(NamedTuple):
    """A part of a photo with its vector."""

    box: Box  # in pixels of the upright photo
    vector: Vectors  # (D,)


class Cropper:
    """Embeds photos and their crops; it has no state, so that threads may share it."""

    def __init__(self, model: Model, forward: Forward, mode: CropMode) -> None:
        """Open the maps of a model.

        Args:
            model: that embeds.
            forward: pixels (B, 3, H, W) to unit vectors (B, D).
            mode: auto or each, which needs more boxes.

        Raises:
            CannotRun: the model has no maps.
        """
        self._settings, self._forward, self._mode = model.record.image, forward, mode
        self._maps = open_map_model(model)

    def encode(self, sources: Iterable[QueryInput]) -> Iterator[Encoded]:
        """Yield the vector of each source with those of its crops, in order."""
        for source in sources:
            if source.vector is not None:
                yield Encoded(source, source.vector)
                continue
            since = time.perf_counter()
            try:
                data = source.read_bytes()
                vector = self._forward(view(data, self._settings)[None])[0]
                encoded = time.perf_counter()
                crops = tuple(self.crops(data))
            except ImageError as error:
                yield Encoded(source, None, error)
                continue
            stages = (
                Stage("decode and encode", 1, encoded - since),
                Stage("encode crops", len(crops), time.perf_counter() - encoded),
            )
            yield made(source, vector, stages)._replace(crops=crops)

    def crops(self, data: bytes) -> list[Crop]:
        """Return the parts of a photo that may show one object; raises ImageError where it cannot be read."""
        return [Crop(box, self._forward(view(data, self._settings, box)[None])[0]) for box in self.boxes(data)]

    def boxes(self, data: bytes) -> list[Box]:
        """Return the boxes of a photo, in pixels, that may show one object; raises ImageError as `crops`."""
        picture = Picture(data)
        width, height = picture.width, picture.height
        whole = normalize(square(picture, (0, 0, width, height), self._settings), self._settings)  # squeezed, not cut
        windows = candidates(self._maps.look(whole).views, _BOXES[self._mode], _APART[self._mode])
        return [(one.left * width, one.top * height, one.right * width, one.bottom * height) for one in windows]
