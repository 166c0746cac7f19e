"""Query inputs: photos, vectors from files or arrays, and indexed products or images."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dmlcli.errors import CannotRun, ImageError, UsageError
from dmlcli.indexes.gallery import Gallery, ItemTable
from dmlcli.report.query import Picture
from dmlcli.search.product_grouping import unit_mean
from dmlcli.types import Vectors

TAKES = "query takes image files, folders of images, or - for stdin"
_VECTORS = "--vector takes .npy (D,) or (N, D), .npz with embeddings (N, D), or a JSON list"
_MOST_JSON = 1 << 28  # bytes; parsed, it takes several times as many
_SIDE = re.compile(r"(\d+(?:\.\d+)?)(%?)")
PartSpec = tuple[tuple[float, bool], ...]  # x, y, width, height; each a number, and whether it is in per cent


class QueryInput(NamedTuple):
    """One query: its name, and a photo (its bytes or its file) or a vector (D,)."""

    name: str
    photo: "bytes | Path | Picture | None" = None
    vector: Vectors | None = None
    part: PartSpec | None = None  # of the photo that is meant; None: all of it
    failure: ImageError | None = None  # why the photo cannot be read

    @property
    def photos(self) -> tuple[Picture, ...]:
        """What can be shown of it."""
        return () if self.photo is None or self.failure else (self,)

    def read_bytes(self) -> bytes:
        """Return the bytes of the photo, or of its part; raises ImageError where there are none to be had."""
        if self.part is None:
            return self._whole()
        from dmlcli.image import cut

        return cut(self._whole(), self.part)

    def _whole(self) -> bytes:
        if isinstance(self.photo, bytes):
            return self.photo
        try:
            if self.failure is not None:
                raise self.failure
            return _read(self.photo)
        except ImageError as error:
            if not error.hint or "--root" in error.hint:  # which a query has not
                error.hint = TAKES
            raise
        except (OSError, ValueError) as error:  # a name that no file can have, among others
            raise ImageError(getattr(error, "strerror", None) or str(error), hint=TAKES) from error


def _read(photo: Path | Picture | None) -> bytes:
    from dmlcli.image import read_file, status_of

    if photo is None:
        raise ImageError("the query is a vector without a photo")
    if not isinstance(photo, Path):
        return photo.read_bytes()
    if not status_of(photo).st_size:  # never opened: some files of /proc report size 0 and block when read
        raise ImageError("the file is empty")
    return read_file(photo)


def vectors(given: Any, dim: int) -> list[QueryInput]:
    """Return one query for each of the vectors of a file, or of an array (D,) or (N, D).

    Args:
        given: the path of a .npy, .npz (`embeddings`, and `paths` where it has them) or .json file; or an array.
        dim: the length of the index's vectors.

    Raises:
        CannotRun: the file cannot be read, or a vector is zero or not finite.
        UsageError: the vectors have another length than `dim`.
    """
    if isinstance(given, np.ndarray):
        name, names, rows = "vector", None, given
    else:
        name = str(given)
        rows, names = _read_vectors(Path(given))
    rows = np.atleast_2d(rows)
    if not rows.size:
        raise CannotRun(f"{name} is empty", hint=_VECTORS)
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise UsageError(f"{name} has vectors of shape {rows.shape}, but the index has {dim} dimensions", hint=_VECTORS)
    with np.errstate(over="ignore", invalid="ignore"):
        rows = rows.astype(np.float32)
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    wrong = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))
    if len(wrong):
        raise CannotRun(f"{name} has an invalid vector in row {wrong[0]}: zero, NaN or infinite", hint=_VECTORS)
    if names is None or len(names) != len(rows):
        names = [name] if len(rows) == 1 else [f"{name}:{row}" for row in range(len(rows))]
    rows = (rows / lengths).astype(np.float32)
    return [QueryInput(name, vector=row) for name, row in zip(names, rows, strict=True)]


def _read_vectors(file: Path) -> tuple[np.ndarray[Any, Any], list[str] | None]:
    """Return the numbers in a file as they are, and their names where it has them."""
    from zipfile import BadZipFile

    try:
        if file.exists() and not file.is_file():
            raise CannotRun(f"{file} is not a regular file", hint=_VECTORS)
        if file.suffix != ".json":
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return _numbers(loaded), None
            names = [str(path) for path in loaded["paths"]] if "paths" in loaded else None
            return _numbers(loaded["embeddings"]), names
        if file.stat().st_size > _MOST_JSON:
            raise CannotRun(f"{file} is larger than {_MOST_JSON:,} bytes", hint="save large matrices as .npy")
        return np.asarray(json.loads(file.read_text(encoding="utf-8-sig")), dtype=np.float64), None
    except FileNotFoundError as error:
        raise CannotRun(f"file not found: {file}", hint=_VECTORS) from error
    except (ValueError, TypeError, KeyError, OSError, EOFError, BadZipFile, MemoryError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CannotRun(f"cannot read vectors from {file}: {reason}", hint=_VECTORS) from error


def _numbers(loaded: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if loaded.dtype.kind not in "fiu":
        raise ValueError(f"its entries are {loaded.dtype}, not real numbers")
    return loaded


def indexed(name: str, index: Gallery, items: ItemTable) -> QueryInput:
    """Return the query for an indexed product or image: the mean of its stored vectors.

    Args:
        name: a product, or the path of an image.
        index: the gallery.
        items: its item table.

    Raises:
        UsageError: neither a product nor an image of the index.
    """
    ids, photo = items.named(name)
    stored = index.vectors(ids)
    if not np.isfinite(stored).all():
        raise CannotRun(
            f"the vector of {name} in {index.place} has NaN or infinite values", hint="dmlcli index CATALOG"
        )
    return QueryInput(name, photo, unit_mean(stored))


def parts(sources: Iterable[QueryInput], part: PartSpec | None) -> Iterator[QueryInput]:
    """Return the sources, of whose photos a part is searched; vectors stay as they are."""
    return (one._replace(part=part) if one.vector is None else one for one in sources)


def box(text: str) -> PartSpec:
    """Parse --crop x,y,width,height, in pixels of the upright photo or percent of its sides (`25%,0,50%,100%`)."""
    sides = [_SIDE.fullmatch(part.strip()) for part in text.split(",")]
    hint = "--crop 40,0,300,300 (pixels), or --crop 25%,0,50%,100%"
    if len(sides) != 4 or not all(sides):
        raise UsageError(f"invalid --crop {text}: expected x,y,width,height, auto or each", hint=hint)
    parts = tuple((float(side[1]), side[2] == "%") for side in sides if side)
    if not all(length for length, _ in parts[2:]):
        raise UsageError(f"invalid --crop {text}: the area is empty", hint=hint)
    return parts
