"""Photos of the index by id: decoded and encoded again, so that nothing but pixels leaves the server."""

from collections import OrderedDict
from threading import Lock
from typing import Literal

from dmlcli.errors import CannotRun
from dmlcli.pages.thumbnails import jpeg
from dmlcli.server.open_index import Opened

Size = Literal["photo", "thumbnail"]
_PIXELS = {"photo": 1280, "thumbnail": 320}  # longer side
_KEPT_BYTES = 64_000_000  # of the photos of the last requests


class ItemPhotos:
    """Makes the photos, and keeps those of the last requests."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, Size], bytes] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    def get(self, opened: Opened, number: int, size: Size) -> bytes:
        """Return the photo of an item as a JPEG file.

        Args:
            opened: the index.
            number: the id of the item.
            size: a longer side of 1280 or of 320 pixels.

        Raises:
            KeyError: the index has no such item.
            CannotRun: its file is gone or cannot be read.
        """
        key = (opened.version, number, size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = jpeg(opened.session.items.photo(number), _PIXELS[size])
        if made is None:
            raise CannotRun("the photo of this item is gone or cannot be read")
        self._keep(key, made.data)
        return made.data

    def _keep(self, key: tuple[str, int, Size], data: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = data
                self._bytes += len(data)
            while self._bytes > _KEPT_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1])
