"""Damaged image files by the hundred, made from a seed: cut, flipped, misnamed, of two kinds at once, and bombs."""

import random
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.conftest import encoded, photo

FORMATS = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tif", "BMP": "bmp"}
_SIZE = (96, 80)


class Damaged(NamedTuple):
    """A file as an attacker or a broken disk would leave it; `hopeless` ones must not be taken for pictures."""

    name: str
    data: bytes
    hopeless: bool


def damaged(count: int, seed: int = 0) -> list[Damaged]:
    """The first `count` of an endless series, evenly mixed of all kinds."""
    rng = random.Random(seed)
    kinds = [_cut(rng), _flipped(rng), _odd(rng), _bombs(rng)]
    made = [next(kinds[number % 4 if number % 8 else 0]) for number in range(count)]
    return [file._replace(name=f"{number:03}-{file.name}") for number, file in enumerate(made)]


def _whole(rng: random.Random, format: str) -> bytes:
    options: dict[str, Any] = {"progressive": rng.random() < 0.5, "quality": 90} if format == "JPEG" else {}
    if format == "TIFF":
        options = {"compression": rng.choice(["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])}
    return encoded(photo(rng.randrange(99), size=_SIZE), format, **options)


def _cut(rng: random.Random) -> Iterator[Damaged]:
    """Every format, ended after 0 %, 5 %, … 95 % of its bytes."""
    while True:
        for percent in range(0, 100, 5):
            for format, suffix in FORMATS.items():
                data = _whole(rng, format)
                # a TIFF keeps its directory at the end; the last bytes of some others are padding
                yield Damaged(f"cut-{percent}.{suffix}", data[: len(data) * percent // 100], percent <= 90)


def _flipped(rng: random.Random) -> Iterator[Damaged]:
    """One to thirty flipped bits anywhere; what comes of it may still be a picture."""
    while True:
        for format, suffix in FORMATS.items():
            data = bytearray(_whole(rng, format))
            for _ in range(rng.choice([1, 3, 30])):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            yield Damaged(f"flipped.{suffix}", bytes(data), False)


def _odd(rng: random.Random) -> Iterator[Damaged]:
    """Misnamed files, headers with nothing behind, and files that are two things at once."""
    while True:
        png, jpeg = _whole(rng, "PNG"), _whole(rng, "JPEG")
        yield Damaged("png-called.jpg", png, False)
        yield Damaged("text-called.png", b"<html>not found</html>", True)
        yield Damaged("header-only.jpg", b"\xff\xd8\xff\xe0" + bytes(30), True)
        yield Damaged("archive-behind.jpg", jpeg + b"PK\x05\x06" + bytes(18), False)
        yield Damaged("script-called.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", True)
        yield Damaged("random.webp", b"RIFF\x40\x00\x00\x00WEBPVP8 " + rng.randbytes(60), True)
        yield Damaged("two-pictures.jpg", jpeg[: len(jpeg) // 2] + png, True)
        yield Damaged("heic-in-name-and-brand.heic", b"\x00\x00\x00\x18ftypheic" + rng.randbytes(80), True)
        yield Damaged("avif-brand.avif", b"\x00\x00\x00\x18ftypavif" + rng.randbytes(80), True)


def _bombs(rng: random.Random) -> Iterator[Damaged]:
    """A few bytes that claim, or really hold, more pixels than memory."""
    while True:
        side = rng.randrange(20_000, 60_000)
        jpeg = bytearray(_whole(rng, "JPEG"))
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (at := jpeg.find(marker)) > 0:
                jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
        yield Damaged("bomb.jpg", bytes(jpeg), True)
        yield Damaged("bomb.png", png_of_zeros(side, rows=5), True)
        gif = bytearray(_whole(rng, "GIF"))
        gif[6:10] = struct.pack("<HH", side, side)
        yield Damaged("bomb.gif", bytes(gif), True)
        bmp = bytearray(_whole(rng, "BMP"))
        bmp[18:26] = struct.pack("<ii", side, side)
        yield Damaged("bomb.bmp", bytes(bmp), True)
        yield Damaged("bomb.ppm", b"P6 %d %d 255\n" % (side, side), True)


def png_of_zeros(side: int, rows: int) -> bytes:
    """A PNG that says it is `side` pixels wide and high, with so many rows of black behind."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes((1 + 3 * side) * rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
