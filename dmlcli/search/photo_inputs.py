"""Photos as queries: files, folders, lists of paths, stdin, and images in memory.

Whatever cannot be read becomes a source with the reason, in its place: it ends a query of one photo and is skipped in
a query of several.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from dmlcli.errors import ImageError, UsageError
from dmlcli.search.query_inputs import TAKES, QueryInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    InMemory = bytes | bytearray | memoryview | BinaryIO | Image | NDArray[Any]
    Photo = str | os.PathLike[str] | InMemory
    Photos = Photo | Iterable[Photo] | None


class Raster(NamedTuple):
    """An image in memory that is not yet an image file: Pillow's, or an array."""

    image: Any

    def read_bytes(self) -> bytes:
        """Return it as an image file; raises ImageError where it is not an image."""
        from dmlcli.image import encoded

        return encoded(self.image)


def is_one(images: "Photos") -> bool:
    """Return whether this is one photo (or folder), not several of them."""
    if isinstance(images, np.ndarray):
        return images.ndim != 4 and images.dtype.kind not in "UO"  # a batch of images, an array of names
    return (
        isinstance(images, str | os.PathLike | bytes | bytearray | memoryview) or _is_open(images) or _is_pillow(images)
    )


def are_none(images: "Photos") -> bool:
    """Return whether no photo is named."""
    return images is None or (not is_one(images) and isinstance(images, Sized) and not len(images))


def may_be_several(images: "Photos") -> bool:
    """Return whether more than one photo may come of this."""
    if images is None:
        return False
    if not is_one(images) and not (isinstance(images, Sized) and len(images) == 1):
        return True
    return any(isinstance(one, str | os.PathLike) and _is_folder(one) for one in _each(images))


def sources(images: "Photos") -> Iterator[QueryInput]:
    """Yield what there is to search with: photos as they are, folders by the images inside, stdin for -.

    Raises:
        UsageError: a name is empty, or stdin is the terminal.
        TypeError: something is neither a name nor an image.
    """
    alone = images is not None and is_one(images)
    for place, one in enumerate(_each(images)):
        if isinstance(one, str | os.PathLike):
            yield from _named(str(os.fsdecode(one)))
        elif _is_open(one):
            yield _read_open(_place(place, alone), one)
        elif isinstance(one, bytes | bytearray | memoryview):
            yield QueryInput(_place(place, alone), bytes(one))
        elif _is_pillow(one) or (isinstance(one, np.ndarray) and one.ndim in (2, 3)):
            yield QueryInput(_place(place, alone), Raster(one))
        else:
            raise _not_an_image(one)


def listed(source: str, null: bool) -> Iterator[QueryInput]:
    """Yield the photos whose paths stand in a file, or come on stdin (-), as they come.

    Args:
        null: whether the paths end with NUL instead of newline.
    """
    from dmlcli import path_lists

    for line in path_lists.read(source, null):
        yield QueryInput(line.name, Path(line.name), failure=ImageError(line.failure) if line.failure else None)


def _each(images: "Photos") -> "Iterable[Photo]":
    if images is None:
        return ()
    if is_one(images):
        return (images,)  # type: ignore[return-value]
    if not isinstance(images, Iterable):
        raise _not_an_image(images)
    return images  # type: ignore[return-value]


def _not_an_image(given: object) -> TypeError:
    shape = f" of shape {given.shape}" if isinstance(given, np.ndarray) else ""
    return TypeError(
        "images: expected a path, the bytes of an image file, a Pillow image, an array (H, W, 3), or several of them, "
        f"not {type(given).__name__}{shape}"
    )


def _place(place: int, alone: bool) -> str:
    """Return what an image without a name is called."""
    return "image" if alone else f"image[{place}]"


def _is_pillow(image: object) -> bool:
    """Return whether this is an image of Pillow, which is loaded where there is one."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def _is_open(file: object) -> bool:
    return callable(getattr(file, "read", None))


def _is_folder(name: str | os.PathLike[str]) -> bool:
    try:
        return Path(name).is_dir()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def _named(name: str) -> Iterator[QueryInput]:
    if name == "-":
        yield _stdin()
        return
    if not name:  # of a variable that was never set; as a path it would mean all that lies here
        raise UsageError("the file name is empty", hint=TAKES)
    if not _is_folder(name):
        yield QueryInput(name, Path(name))
        return
    from dmlcli.catalog import find_images

    count = 0
    for count, file in enumerate(find_images(Path(name)), start=1):  # noqa: B007
        yield QueryInput(str(file), file)
    if not count:
        yield QueryInput(name, Path(name), failure=ImageError("no images found in this folder"))


def _stdin() -> QueryInput:
    """Return the image file on stdin."""
    if sys.stdin.isatty():
        raise UsageError("expected an image on stdin, but stdin is a terminal", hint="dmlcli query - < img.jpg")
    return _read_open("-", sys.stdin.buffer)


def _read_open(name: str, file: Any) -> QueryInput:
    """Return the rest of an open binary file, read no further than an image file may be long."""
    from dmlcli.image import read_stream

    try:
        return QueryInput(name, read_stream(file.read))
    except ImageError as error:
        return QueryInput(name, failure=error)
    except OSError as error:  # stdin is a folder
        return QueryInput(name, failure=ImageError(error.strerror or str(error)))
    except TypeError as error:  # its chunks are text
        raise TypeError("images: expected a file opened in binary mode") from error
