"""What is inside a JPEG: its size and orientation, its scans, and what of it a decoder needs.

The header of a plain JPEG is read without Pillow, whose import takes longer than decoding and embedding a photo. What
is not plain (four colors, unusual coding, an orientation written in an unusual way, damage) is left to Pillow.
`simplejpeg.decode_jpeg_header` returns neither orientation nor scans, and the walk that finds them (20 µs) passes
the size.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from dmlcli.errors import ImageError
from dmlcli.image.limits import MAX_SCANS

SIGNATURE = b"\xff\xd8\xff"
_FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended and progressive, all with Huffman's code
_FRAME_LIKE, _NO_FRAME = range(0xC0, 0xD0), (0xC4, 0xC8, 0xCC)
_WITHOUT_LENGTH, _SCAN, _END, _NOTES = (0x00, 0x01, *range(0xD0, 0xD9), 0xFF), 0xDA, 0xD9, 0xE1
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_ORIENTATION, _SHORT = 0x0112, 3  # the tag of EXIF, and the kind of number it has
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)  # neither stuffing, filling nor a restart of a scan
_CMYK = 4  # components
_BEGIN, _MOST_SEGMENTS = 0xD8, 10_000  # the marker that a JPEG begins with; color profiles take up to 255 segments
_END_MARKER = b"\xff\xd9"
_APPLICATION, _COMMENT, _JFIF, _ADOBE = range(0xE0, 0xF0), 0xFE, 0xE0, 0xEE
_PLAIN_JFIF = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"  # says that colors are YCbCr; its density does not count


class Coding(NamedTuple):
    """What decoding takes: the number of colors, and of scans where all of them are kept in memory, else 0."""

    components: int
    scans: int


class Header(NamedTuple):
    """The size in pixels as stored, and how to turn what is stored (EXIF's orientation, 1 for upright)."""

    width: int
    height: int
    orientation: int
    coding: Coding


class Segment(NamedTuple):
    """A marker and where it begins, where its payload begins, and where that ends (a scan's data follow)."""

    marker: int
    begin: int
    start: int
    end: int


def header(data: bytes) -> Header | None:
    """The header of a gray or color JPEG; None for whatever else the bytes may be."""
    if not data.startswith(SIGNATURE):
        return None
    size: tuple[int, int] | None = None
    orientation: int | None = 0
    exif = xmp = progressive = False
    components = 0
    place = 2
    for _ in range(_MOST_SEGMENTS):
        if place + 4 > len(data):
            return None
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        end = place + 2 + length
        if data[place] != 0xFF or marker in _WITHOUT_LENGTH or marker == _END or length < 2 or end > len(data):
            return None
        segment = data[place + 4 : end]
        if marker == _SCAN:
            if size is None or (xmp and not orientation):
                return None
            usual = not progressive and segment[:1] == bytes([components])
            return Header(*size, orientation or 1, Coding(components, 0) if usual else coding(data))
        if marker in _FRAME_LIKE and marker not in _NO_FRAME:
            if size is not None or (size := _size(marker, segment)) is None:
                return None
            components, progressive = segment[5], marker not in _FRAMES[:2]
        elif marker == _NOTES and segment.startswith(_EXIF):
            if exif or (orientation := _orientation(segment[len(_EXIF) :])) is None:
                return None
            exif = True
        elif marker == _NOTES and segment.startswith(_XMP):
            xmp = True  # it may tell the orientation, where EXIF does not
        place = end
    return None


def _size(marker: int, frame: bytes) -> tuple[int, int] | None:
    """Width and height by a frame's header, of 8 bits and one or three colors."""
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


def coding(data: bytes) -> Coding:
    """Return what decoding a JPEG takes; one whose frame cannot be found counts as of four colors."""
    components, progressive = 4, False
    for segment in segments(data):
        if segment.marker in _FRAME_LIKE and segment.marker not in _NO_FRAME:
            components = data[segment.start + 5] if segment.start + 5 < len(data) else 4
            progressive = segment.marker not in _FRAMES[:2]
        elif segment.marker == _SCAN:
            if not progressive and data[segment.start : segment.start + 1] == bytes([components]):
                return Coding(components, 0)
            scans = data.count(b"\xff\xda", segment.begin)  # quick, but also counts what lies behind the image
            return Coding(components, scans if scans <= MAX_SCANS else _count_scans(data))
    return Coding(components, 0)


def memory(coding: Coding, width: int, height: int, reduction: int = 1) -> int:
    """Return the bytes that decoding a JPEG takes.

    Args:
        coding: of what it is made.
        width: pixels as stored.
        height: the same.
        reduction: decoded at 1/`reduction` of the size.
    """
    pixels = width * height
    kept = 2 * coding.components * pixels if coding.scans else 0  # coefficients of 16 bits
    decoded = 7 if coding.components == _CMYK else 3
    return kept + decoded * pixels // reduction**2


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments of a JPEG up to its end marker, whatever lies between them, as decoders find them.

    Raises:
        ImageError: the JPEG has so many segments that reading them would take minutes.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        match = _MARKER.search(data, place)
        if match is None:
            return
        marker, start = match[1][0], match.end()
        if marker == _END:
            yield Segment(marker, match.start(), start, start)
            return
        if marker in _WITHOUT_LENGTH or marker == _BEGIN:
            place = start
            continue
        place = start + max(2, int.from_bytes(data[start : start + 2]))
        yield Segment(marker, match.start(), start + 2, place)
    raise ImageError(f"a JPEG of more than {_MOST_SEGMENTS:,} segments")


def without_notes(data: bytes) -> bytes:
    """Return a JPEG reduced to what decides its pixels.

    Decoders warn of a bad color profile and of junk between the segments of the header as they warn of damaged scans.
    What is left here has none of these, so that whatever they still warn of is damage.
    """
    parts = [data[:2]]
    for segment, following in pairwise([*segments(data), Segment(_END, len(data), len(data), len(data))]):
        whole = data[segment.begin : segment.end]
        if segment.marker == _END:
            parts.append(_END_MARKER)
        elif segment.marker == _JFIF and data[segment.start : segment.start + 5] == b"JFIF\0":
            parts.append(_PLAIN_JFIF)
        elif segment.marker == _SCAN:
            parts += [whole, data[segment.end : following.begin]]
        elif segment.marker == _ADOBE or not (segment.marker in _APPLICATION or segment.marker == _COMMENT):
            parts.append(whole)
    return b"".join(parts)


def without_filling(data: bytes, count: int) -> bytes:
    """Return a JPEG without the `count` zeros before its end marker; as it is where they are not all zeros."""
    body = data.removesuffix(_END_MARKER)
    return body[:-count] + _END_MARKER if body.endswith(bytes(count)) else data


def _count_scans(data: bytes) -> int:
    return sum(segment.marker == _SCAN for segment in segments(data))
