"""Features of all photos of a catalog, computed in threads at reduced scale: about 250 bytes per image.

A photo is opened once for all checks. What concerns one photo alone is reported as it is read; what concerns several is
found in the arrays afterwards.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dmlcli import prefetch, progress
from dmlcli.catalog import Catalog, Photo
from dmlcli.checks import perceptual_hash
from dmlcli.errors import ImageError

_CHUNK = 256  # photos that are read, and then hashed, together


class Shot(NamedTuple):
    """One photo as it was read; `error` is why it could not be, and then the rest is None."""

    row: int
    path: Path
    header: perceptual_hash.Header | None
    blank: bool
    error: ImageError | None


@dataclass
class Scan:
    """What is kept of every photo (N of them); rows that could not be read, or show nothing, are not `comparable`."""

    count: int
    comparable: NDArray[np.bool_] = field(init=False)  # (N,)
    digests: NDArray[np.uint64] = field(init=False)  # (N, 2), of the file's bytes; 0 where there are none
    hashes: perceptual_hash.Hashes = field(init=False)  # (N, 2)
    small: NDArray[np.uint8] = field(init=False)  # (N, 8, 8, 3)
    taken: NDArray[np.float64] = field(init=False)  # (N,) seconds, nan where unknown

    def __post_init__(self) -> None:
        side = perceptual_hash.THUMB
        self.comparable = np.zeros(self.count, dtype=np.bool_)
        self.digests = np.zeros((self.count, 2), dtype=np.uint64)
        self.hashes = np.zeros((self.count, perceptual_hash.WORDS), dtype=np.uint64)
        self.small = np.zeros((self.count, side, side, 3), dtype=np.uint8)
        self.taken = np.full(self.count, np.nan)


class _Read(NamedTuple):
    shot: Shot
    digest: bytes
    gray_thumbnail: NDArray[np.uint8] | None


def scan(catalog: Catalog, into: Scan) -> Iterator[Shot]:
    """Read every photo of a catalog, fill `into`, and yield each in the order of the catalog."""

    def shots() -> Iterator[Shot]:
        for chunk in _read_all([catalog.photo(item) for item in catalog.items]):
            _keep(chunk, into)
            yield from (read.shot for read in chunk)

    yield from progress.track(shots(), "checking photos", len(catalog.items))


def _read_all(photos: Sequence[Photo]) -> Iterator[list[_Read]]:
    with ThreadPoolExecutor(prefetch.cores()) as threads:  # decoders release the GIL
        for start in range(0, len(photos), _CHUNK):
            yield list(threads.map(_read, range(start, len(photos)), photos[start : start + _CHUNK]))


def _read(row: int, photo: Photo) -> _Read:
    try:
        data = photo.read_bytes()
        gray_thumbnail = perceptual_hash.gray_thumbnail(data)
        header = perceptual_hash.read_header(data)
    except ImageError as error:
        return _Read(Shot(row, photo.path, None, False, error), b"", None)
    return _Read(
        Shot(row, photo.path, header, perceptual_hash.is_blank(gray_thumbnail), None),
        perceptual_hash.digest(data),
        gray_thumbnail,
    )


def _keep(chunk: list[_Read], into: Scan) -> None:
    whole = [(read, read.gray_thumbnail) for read in chunk if read.gray_thumbnail is not None]
    if not whole:
        return
    rows = np.array([read.shot.row for read, _ in whole])
    stacked = np.stack([gray_thumbnail for _, gray_thumbnail in whole])
    into.digests[rows] = [np.frombuffer(read.digest, dtype=np.uint64) for read, _ in whole]
    into.hashes[rows] = perceptual_hash.hashes(stacked)
    into.small[rows] = perceptual_hash.small(stacked)
    into.taken[rows] = [read.shot.header.taken if read.shot.header else np.nan for read, _ in whole]
    into.comparable[rows] = [not read.shot.blank for read, _ in whole]
