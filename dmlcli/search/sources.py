"""What can be searched with: photos (files, folders, lists, stdin), vectors in a file, what is indexed already."""

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dmlcli.arrays import Vectors
from dmlcli.errors import CannotRun, CatalogError, ImageError, UsageError
from dmlcli.indexes.gallery import Gallery, ItemTable
from dmlcli.report.query import Picture
from dmlcli.search.products import unit_mean

if TYPE_CHECKING:
    from dmlcli.catalog import Photo

_TAKES = "query takes image files, folders of images, or - for stdin"
_SIDE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
Box = tuple[tuple[float, bool], ...]  # x, y, width, height; each a number, and whether it is in per cent


class Source(NamedTuple):
    """One thing to search with: the name it goes by, and a photo (its bytes or its file) or a vector (D,)."""

    name: str
    photo: "bytes | Path | Photo | None" = None
    vector: Vectors | None = None
    part: Box | None = None  # of the photo that is meant; None: all of it

    @property
    def photos(self) -> tuple[Picture, ...]:
        """What can be shown of it."""
        return () if self.photo is None else (self,)

    def read_bytes(self) -> bytes:
        """The bytes of the photo, or of its part; raises ImageError where there are none to be had."""
        if self.part is None:
            return self._whole()
        from dmlcli.image import cut

        return cut(self._whole(), self.part)

    def _whole(self) -> bytes:
        if isinstance(self.photo, bytes):
            return self.photo
        if self.photo is None:
            raise ImageError("there is no photo, only a vector")
        if not isinstance(self.photo, Path):
            return self.photo.read_bytes()
        from dmlcli.image import read_file

        try:
            return read_file(self.photo)
        except ImageError as error:
            raise type(error)(str(error), hint=error.hint or _TAKES) from error


def photos(names: Sequence[str]) -> Iterator[Source]:
    """Files, folders of images, and - for the bytes of one on stdin."""
    for name in names:
        if name == "-":
            yield Source("-", _stdin())
            continue
        if not name:  # of a variable that was never set; as a path it would mean all that lies here
            raise UsageError("an empty name is no photo", hint=_TAKES)
        if not Path(name).is_dir():
            yield Source(name, Path(name))
            continue
        from dmlcli.catalog import find_images

        files = find_images(Path(name))
        first = next(files, None)
        if first is None:
            raise CatalogError(f"no image was found in {name}", hint="query takes image files and folders of images")
        yield from (Source(str(file), file) for file in chain([first], files))


def listed(source: str, end: bytes) -> Iterator[Source]:
    """Photos whose paths stand in a file or come on stdin, as they come."""
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as stream:
            rest = b""
            while chunk := os.read(stream.fileno(), 1 << 16):  # what is there, not all there will be
                *whole, rest = (rest + chunk).split(end)
                yield from (_named(line, end) for line in whole if line.strip())
            if rest.strip():
                yield _named(rest, end)
    except OSError as error:
        hint = "--files-from takes a file, or - for stdin"
        raise CannotRun(f"cannot read {source}: {error.strerror}", hint=hint) from error


def vectors(file: Path, dim: int) -> list[Source]:
    """The vectors of a .npy, .npz (`embeddings`, and `paths` where it has them) or .json file, one query each.

    Errors: CannotRun where it cannot be read, UsageError where its vectors are not of the length of the index's.
    """
    from zipfile import BadZipFile

    hint = "--vector takes .npy (D,) or (N, D), .npz with embeddings (N, D), or a JSON list"
    names = None
    try:
        if file.suffix == ".json":
            rows = np.asarray(json.loads(file.read_text(encoding="utf-8")), dtype=np.float32)
        else:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                rows = loaded.astype(np.float32)
            else:
                rows = loaded["embeddings"].astype(np.float32)
                names = [str(path) for path in loaded["paths"]] if "paths" in loaded else None
    except FileNotFoundError as error:
        raise CannotRun(f"there is no file {file}", hint=hint) from error
    except (ValueError, TypeError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise CannotRun(f"{file} holds no vectors: {str(error).splitlines()[0]}", hint=hint) from error
    rows = np.atleast_2d(rows)
    if not rows.size:
        raise CannotRun(f"{file} holds no vectors: it is empty", hint=hint)
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise UsageError(f"{file} holds vectors {rows.shape}, the index has {dim} dimensions", hint=hint)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise CannotRun(f"{file} holds a vector that is zero or not finite", hint=hint)
    if names is None or len(names) != len(rows):
        names = [str(file)] if len(rows) == 1 else [f"{file}:{row}" for row in range(len(rows))]
    return [Source(name, vector=row) for name, row in zip(names, rows / lengths, strict=True)]


def indexed(name: str, index: Gallery, items: ItemTable) -> Source:
    """A product or an image that is in the index, by the mean of its stored vectors; raises UsageError for neither."""
    ids, photo = items.named(name)
    return Source(name, photo, unit_mean(index.vectors(ids)))


def parts(sources: Iterable[Source], part: Box | None) -> Iterator[Source]:
    """The sources, of whose photos a part is meant; those that are vectors already stay as they are."""
    return (one._replace(part=part) if one.vector is None else one for one in sources)


def photo_or_indexed(name: str, index: Gallery, items: ItemTable) -> Source:
    """A photo where there is such a file, else what the index calls so."""
    return Source(name, Path(name)) if Path(name).is_file() else indexed(name, index, items)


def box(text: str) -> Box:
    """`x,y,width,height` of --crop, in pixels of the upright photo or in per cent of its sides (`25%,0,50%,100%`)."""
    sides = [_SIDE.fullmatch(part.strip()) for part in text.split(",")]
    hint = "--crop 40,0,300,300 (pixels), or --crop 25%,0,50%,100%"
    if len(sides) != 4 or not all(sides):
        raise UsageError(f"--crop {text} is not x,y,width,height", hint=hint)
    parts = tuple((float(side[1]), side[2] == "%") for side in sides if side)
    if not all(length for length, _ in parts[2:]):
        raise UsageError(f"--crop {text} is empty", hint=hint)
    return parts


def _stdin() -> bytes:
    if sys.stdin.isatty():
        raise UsageError("an image is expected on stdin, which is the terminal", hint="dmlcli query - < img.jpg")
    from dmlcli.image import read_stream

    return read_stream(lambda most: os.read(sys.stdin.fileno(), most))


def _named(line: bytes, end: bytes) -> Source:
    path = os.fsdecode(line.removesuffix(b"\r") if end == b"\n" else line)
    return Source(path, Path(path))
