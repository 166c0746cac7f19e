"""The header of a plain JPEG says what Pillow says of it; what is not plain is left to Pillow."""

import io
import random
import struct
from typing import Any

import pytest
from PIL import Image

from dmlcli.image import jpeg, pillow
from tests.conftest import encoded, photo

ORIENTATION = 0x0112


ANY = jpeg.Coding(0, 0)  # what decoding takes is not compared here


def plain(data: bytes) -> jpeg.Header | None:
    found = jpeg.header(data)
    return found and found._replace(coding=ANY)


def by_pillow(data: bytes) -> jpeg.Header:
    return jpeg.Header(*pillow.read_header(data)[:3], ANY)


def with_notes(data: bytes, *notes: bytes) -> bytes:
    """A JPEG with segments of notes (APP1) before all others."""
    segments = [b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note for note in notes]
    return data[:2] + b"".join(segments) + data[2:]


def exif(order: str, kind: int = 3, count: int = 1, value: int = 6, tag: int = ORIENTATION) -> bytes:
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    entry = struct.pack(order + "HHI", tag, kind, count) + struct.pack(
        order + ("HH" if kind == 3 else "I"), value, *[0] * (kind == 3)
    )
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


XMP = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation="8"/>'
PLAIN = encoded(photo(1), "JPEG")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_plain_jpegs_need_no_pillow(mode: str, options: dict[str, Any]) -> None:
    data = encoded(photo(1, size=(300, 17)).convert(mode), "JPEG", **options)
    assert plain(data) == by_pillow(data) == (300, 17, 1, ANY)


@pytest.mark.parametrize("value", range(10))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_orientation_is_read_as_pillow_reads_it(order: str, value: int) -> None:
    data = with_notes(PLAIN, exif(order, value=value))
    found = plain(data)
    assert found is not None and (found.orientation or 1) == (by_pillow(data).orientation or 1)
    assert plain(with_notes(PLAIN, exif(order, tag=0x0110))) == (48, 40, 1, ANY)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8\xff",
        encoded(photo(1)),
        encoded(photo(1).convert("CMYK"), "JPEG"),
        PLAIN[:100],
        with_notes(PLAIN, XMP),
        with_notes(PLAIN, XMP, exif("<", tag=0x0110)),
        with_notes(PLAIN, exif("<", kind=4)),
        with_notes(PLAIN, exif("<", count=2)),
        with_notes(PLAIN, exif("<"), exif("<")),
        with_notes(PLAIN, exif("<")[:20]),
        with_notes(PLAIN, b"Exif\0\0" + b"?" * 20),
    ],
)
def test_what_is_not_plain_is_left_to_pillow(data: bytes) -> None:
    assert plain(data) is None


def test_whatever_bits_are_flipped_it_agrees_with_pillow_or_leaves_it_to_it() -> None:
    rng = random.Random(0)
    whole = with_notes(PLAIN, exif(">", value=8), XMP)
    read = 0
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 2, 8])):
            data[rng.randrange(700)] ^= 1 << rng.randrange(8)
        found = plain(bytes(data))
        if found is not None:
            read += 1
            try:
                expected = by_pillow(bytes(data))
            except Exception:  # a table that decoding will stumble over as well
                continue
            assert (found.width, found.height, found.orientation or 1) == (*expected[:2], expected.orientation or 1)
    assert read > 100


def test_a_picture_of_many_jpegs_is_the_first() -> None:
    stream = io.BytesIO()
    photo(1).save(stream, "MPO", save_all=True, append_images=[photo(2)])
    assert plain(stream.getvalue()) == (48, 40, 1, ANY)
    assert Image.open(stream).format == "MPO"
