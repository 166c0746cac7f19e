"""Photos that show the same picture by their pixels, which close embeddings alone do not prove."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from dmlcli import prefetch
from dmlcli.catalog import Photo
from dmlcli.checks import duplicates, perceptual_hash
from dmlcli.errors import ImageError

_NOTHING = np.zeros((perceptual_hash.SIDE, perceptual_hash.SIDE, 3), dtype=np.uint8)


def groups(photos: Sequence[Photo]) -> list[list[int]]:
    """Return groups of two or more photos that show one picture, linked through others, by position.

    A photo that cannot be read shows nothing, and is in no group.
    """
    with ThreadPoolExecutor(prefetch.cores()) as threads:  # decoders release the GIL
        read = list(threads.map(_miniature, photos))
    places = [place for place, gray_thumbnail in enumerate(read) if gray_thumbnail is not None]
    pictures = np.stack([gray_thumbnail for gray_thumbnail in read if gray_thumbnail is not None] or [_NOTHING])
    label = list(range(len(places)))
    for row in range(len(places) - 1):
        later = pictures[row + 1 :]
        for other in np.flatnonzero(duplicates.is_alike(np.broadcast_to(pictures[row], later.shape), later)) + row + 1:
            old, new = max(label[row], label[other]), min(label[row], label[other])
            label = [new if one == old else one for one in label]
    found: dict[int, list[int]] = {}
    for place, one in zip(places, label, strict=True):
        found.setdefault(one, []).append(place)
    return [group for group in found.values() if len(group) > 1]


def _miniature(photo: Photo) -> NDArray[np.uint8] | None:
    try:
        found = perceptual_hash.gray_thumbnail(photo.read_bytes())
    except ImageError:
        return None
    return None if perceptual_hash.is_blank(found) else found
