"""Encoding of queries one after the other; `stream` encodes many."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmlcli.errors import ImageError
from dmlcli.report.query import Stage
from dmlcli.search.query_inputs import QueryInput
from dmlcli.types import Forward, Vectors, View

if TYPE_CHECKING:
    from dmlcli.search.cropping import Crop


class Encoded(NamedTuple):
    """The vector (D,) of one source, or why there is none."""

    source: QueryInput
    vector: Vectors | None
    failure: ImageError | None = None
    stages: tuple[Stage, ...] = ()
    crops: "tuple[Crop, ...]" = ()  # parts of the photo, one of which may be searched with instead


Encode = Callable[[Iterable[QueryInput]], Iterator[Encoded]]


def known(sources: Iterable[QueryInput]) -> Iterator[Encoded]:
    """Yield sources that are vectors already."""
    return (Encoded(source, source.vector) for source in sources)


def one_by_one(sources: Iterable[QueryInput], view: View, forward: Forward) -> Iterator[Encoded]:
    """Yield the vector of each source, without threads; faster than `stream.encode` for one or two photos.

    Args:
        sources: the queries.
        view: the bytes of an image file to pixels (3, H, W).
        forward: pixels (B, 3, H, W) to unit vectors (B, D).
    """
    for source in sources:
        since = time.perf_counter()
        try:
            pixels = None if source.vector is not None else view(source.read_bytes())
        except ImageError as error:
            yield Encoded(source, None, error)
            continue
        if pixels is None:
            yield Encoded(source, source.vector)
            continue
        decoded = time.perf_counter()
        vector = forward(pixels[None])[0]
        encoded = time.perf_counter()
        stages = (Stage("decode", 1, decoded - since), Stage("encode", 1, encoded - decoded))
        yield made(source, vector, stages)


def made(source: QueryInput, vector: Vectors, stages: tuple[Stage, ...]) -> Encoded:
    """Return the vector of a photo, or a failure if it is not finite.

    Args:
        source: the photo.
        vector: (D,).
        stages: the times of decoding and encoding.
    """
    if np.isfinite(vector).all():
        return Encoded(source, vector, None, stages)
    return Encoded(source, None, ImageError("the model returns NaN or infinity for this image"), stages)
