"""The header of a plain JPEG, read without Pillow, whose import takes longer than decoding and embedding a photo.

What is not plain (four colours, unusual coding, an orientation told in an unusual way, damage) is left to Pillow.
"""

from typing import NamedTuple

_START = b"\xff\xd8\xff"
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, all with Huffman's code
_FRAME_LIKE, _NO_FRAME = range(0xC0, 0xD0), (0xC4, 0xC8, 0xCC)
_WITHOUT_LENGTH, _SCAN, _END, _NOTES = (0x00, 0x01, *range(0xD0, 0xD9), 0xFF), 0xDA, 0xD9, 0xE1
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ORIENTATION, _SHORT = 0x0112, 3  # the tag of EXIF, and the kind of number it has


class Header(NamedTuple):
    """The size in pixels as stored, and how to turn what is stored (EXIF's orientation, 1 for upright)."""

    width: int
    height: int
    orientation: int


def header(data: bytes) -> Header | None:
    """The header of a grey or colour JPEG; None for whatever else the bytes may be."""
    if not data.startswith(_START):
        return None
    size: tuple[int, int] | None = None
    orientation: int | None = 0
    exif = xmp = False
    place = 2
    while place + 4 <= len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        end = place + 2 + length
        if data[place] != 0xFF or marker in _WITHOUT_LENGTH or marker == _END or length < 2 or end > len(data):
            return None
        segment = data[place + 4 : end]
        if marker == _SCAN:
            return None if size is None or (xmp and not orientation) else Header(*size, orientation or 1)
        if marker in _FRAME_LIKE and marker not in _NO_FRAME:
            if size is not None or (size := _size(marker, segment)) is None:
                return None
        elif marker == _NOTES and segment.startswith(_EXIF):
            if exif or (orientation := _orientation(segment[len(_EXIF) :])) is None:
                return None
            exif = True
        elif marker == _NOTES and segment.startswith(_XMP):
            xmp = True  # it may tell the orientation, where EXIF does not
        place = end
    return None


def _size(marker: int, frame: bytes) -> tuple[int, int] | None:
    """Width and height by a frame's header, of 8 bits and one or three colours."""
    if marker not in _FRAMES or len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3):
        return None
    width, height = int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])
    return (width, height) if width and height else None


def _orientation(notes: bytes) -> int | None:
    """What EXIF says in its first table, 0 where it says nothing; None where it is not written as cameras do."""
    order = {b"II*\0": "little", b"MM\0*": "big"}.get(notes[:4])
    if order is None:
        return None

    def number(place: int, length: int) -> int:
        return int.from_bytes(notes[place : place + length], order)  # type: ignore[arg-type]

    table = number(4, 4)
    count = number(table, 2)
    if table < 8 or table + 2 + 12 * count > len(notes):
        return None
    for entry in range(table + 2, table + 2 + 12 * count, 12):
        if number(entry, 2) == _ORIENTATION:
            return number(entry + 8, 2) if (number(entry + 2, 2), number(entry + 4, 4)) == (_SHORT, 1) else None
    return 0
