"""The chunks of a PNG: checksums, and metadata with its orientation.

Pillow does not compare the checksums of pixels, refuses a whole picture for a damaged note, and finds notes behind the
pixels only once it has decoded them.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from dmlcli.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NOTES = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
_OF_ORIENTATION = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")
_MOST_CHUNKS = 100_000


class Chunk(NamedTuple):
    """Where a chunk begins and ends in a PNG, its kind, and whether its checksum is right."""

    begin: int
    end: int
    kind: bytes
    sound: bool

    @property
    def is_note(self) -> bool:
        """Whether decoders may leave it out, by the case of its first letter."""
        return bool(self.kind[0] & 0x20)


def checked(data: bytes) -> bytes:
    """Return a PNG without the notes that are damaged; raises ImageError if anything else is."""
    left_out = []
    for chunk in _chunks(data):
        if chunk.sound:
            continue
        if not chunk.is_note:
            raise ImageError(f"the file is damaged (wrong checksum of {chunk.kind.decode('latin-1')})")
        left_out.append(chunk)
    parts, place = [], 0
    for chunk in left_out:
        parts.append(data[place : chunk.begin])
        place = chunk.end
    return b"".join([*parts, data[place:]]) if parts else data


def notes(data: bytes) -> bytes:
    """Return a PNG of one pixel with the notes that may hold an orientation; empty where there are none."""
    if not any(name in data for name in _OF_ORIENTATION):
        return b""
    found = [data[chunk.begin : chunk.end] for chunk in _chunks(data) if chunk.kind in _NOTES and chunk.sound]
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"".join([SIGNATURE, header, *found, _chunk(b"IDAT", zlib.compress(bytes(2))), _chunk(b"IEND", b"")])


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to the last one that is whole; raises ImageError for pixels that are not."""
    view = memoryview(data)
    place = len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if place + 12 > len(data):
            return
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(data):
            raise ImageError("the file is truncated")
        checksum = zlib.crc32(view[place + 4 : end - 4])
        yield Chunk(place, end, kind, checksum == int.from_bytes(data[end - 4 : end]))
        if kind == b"IEND":
            return
        place = end
    raise ImageError(f"a PNG of more than {_MOST_CHUNKS:,} chunks")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
