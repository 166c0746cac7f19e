"""Odd images by the hundred, made from a seed: each kind that Pillow writes, and what becomes of it."""

import io
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.conftest import encoded, photo

SAME, REFUSED, EITHER = "same", "refused", "either"  # as Pillow shows it; not taken; one of the two
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")
FORMATS = ("PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG", "JPEG2000", "AVIF", "TGA")
WITHOUT_WHITE = {("TIFF", "I"), ("TIFF", "F"), ("PPM", "F")}
_ORIENTATION, _XMP = 0x0112, 700
_SIZE = (40, 28)
_CUT = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")


class Odd(NamedTuple):
    """An image file, and what is expected of it."""

    name: str
    data: bytes
    expected: str = SAME


def odd_images() -> list[Odd]:
    """Return all of them, always the same."""
    kinds = (_modes, _orientations, _jpegs, _deep, _transparent, _animated, _cut_off, _overwritten, _notes)
    return [image for kind in kinds for image in kind()]


def garbled(data: bytes, seed: int, count: int) -> bytes:
    """Overwrite `count` bytes somewhere in the scan of a JPEG, without making markers of them."""
    rng = np.random.default_rng(seed)
    start = data.index(b"\xff\xda") + 20
    at = int(rng.integers(start, len(data) - 2 - count))
    return data[:at] + bytes(rng.integers(1, 255, count).astype(np.uint8)) + data[at + count :]


def many_scans(data: bytes, count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until there are `count` scans."""
    last = data.rindex(b"\xff\xda")
    before = data.count(b"\xff\xda")
    return data[:-2] + data[last:-2] * (count - before) + b"\xff\xd9"


def _picture(mode: str) -> Image.Image:
    image = photo(7, size=_SIZE)
    if mode in ("I", "F", "I;16"):
        ramp = np.linspace(0, 65535, _SIZE[0] * _SIZE[1]).reshape(_SIZE[::-1])
        return Image.fromarray(ramp.astype({"I": np.int32, "F": np.float32, "I;16": np.uint16}[mode]))
    if mode in ("LA", "RGBA", "PA"):
        image.putalpha(Image.linear_gradient("L").resize(_SIZE))
        return image.convert("LA").convert("PA") if mode == "PA" else image.convert(mode)
    if mode == "LAB":
        return Image.fromarray(np.asarray(image), "LAB")
    return image.convert(mode)


def _modes() -> Iterator[Odd]:
    for mode, format in product(MODES, FORMATS):
        try:
            data = encoded(_picture(mode), format)
        except (OSError, ValueError, KeyError, SystemError):  # Pillow writes no such file
            continue
        # LAB is converted by new versions of Pillow only
        expected = REFUSED if (format, mode) in WITHOUT_WHITE else EITHER if mode == "LAB" else SAME
        yield Odd(f"mode-{mode}.{format}", data, expected)


def _orientations() -> Iterator[Odd]:
    image = photo(8, size=_SIZE)
    for value in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = value
        xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>' % value
        raw = exif.tobytes()
        profile = f"\nexif\n{len(raw):8}\n{raw.hex()}\n"
        for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
            yield Odd(f"exif-{value}.{format}", encoded(image, format, exif=exif))
        for format in ("JPEG", "WEBP"):
            yield Odd(f"xmp-{value}.{format}", encoded(image, format, xmp=xmp))
        yield Odd(f"xmp-{value}.TIFF", encoded(image, "TIFF", tiffinfo={_XMP: xmp}))
        notes = PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", xmp.decode())
        yield Odd(f"xmp-{value}.PNG", encoded(image, "PNG", pnginfo=notes))
        for packed in (False, True):
            notes = PngInfo()
            notes.add_text("Raw profile type exif", profile, zip=packed)
            data = encoded(image, "PNG", pnginfo=notes)
            yield Odd(f"raw-profile-{value}-{packed}.PNG", data)
            if packed:
                yield Odd(f"raw-profile-behind-{value}.PNG", _notes_last(data))


def _jpegs() -> Iterator[Odd]:
    image = photo(9, size=(64, 48))
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "progressive": {"progressive": True},
        "full": {"subsampling": 0},
        "half": {"subsampling": 1},
        "restarts": {"restart_marker_blocks": 2},
        "rgb": {"keep_rgb": True},
    }
    for name, chosen in options.items():
        yield Odd(f"{name}.jpg", encoded(image, "JPEG", **chosen))
    for progressive in (False, True):
        cmyk = encoded(image.convert("CMYK"), "JPEG", progressive=progressive)
        adobe = cmyk.index(b"Adobe") + 11
        yield Odd(f"cmyk-{progressive}.jpg", cmyk)
        yield Odd(f"ycck-{progressive}.jpg", cmyk[:adobe] + b"\x02" + cmyk[adobe + 1 :])
    plain = encoded(image, "JPEG")
    yield Odd("bytes-behind.jpg", plain + bytes(range(256)) * 4)
    yield Odd("picture-behind.jpg", plain + encoded(photo(1), "JPEG"))


def _deep() -> Iterator[Odd]:
    ramp = np.linspace(0, 65535, 40 * 28).reshape(28, 40)
    for order, bits, kind in product("<>", (16, 32), (1, 2, 3)):
        if (bits, kind) == (16, 3):
            continue
        number = np.dtype({1: "u", 2: "i", 3: "f"}[kind] + str(bits // 8)).newbyteorder("<" if order == "<" else ">")
        numbers = (ramp - (30000 if kind == 2 else 0)).astype(number)
        expected = SAME if (bits, kind) == (16, 1) else REFUSED
        name = {1: "unsigned", 2: "signed", 3: "float"}[kind]
        yield Odd(f"{name}-{bits}-{order == '<'}.tif", tiff(numbers.tobytes(), (40, 28), order, bits, kind), expected)
    yield Odd("signed-8.tif", tiff(bytes(40 * 28), (40, 28), "<", 8, 2), REFUSED)
    yield Odd("positive-signed-16.tif", tiff((ramp / 2).astype("<i2").tobytes(), (40, 28), "<", 16, 2), REFUSED)
    for channels, color in ((1, 0), (2, 4), (3, 2), (4, 6)):
        yield Odd(f"16-bit-{channels}.png", png_of_16_bits(channels, color))


def _transparent() -> Iterator[Odd]:
    palette = photo(3, size=_SIZE).quantize(8)
    gray = photo(3, size=_SIZE).convert("L")
    for key in (0, 3, 7):
        yield Odd(f"palette-{key}.png", encoded(palette, "PNG", transparency=key))
        yield Odd(f"palette-{key}.gif", encoded(palette, "GIF", transparency=key))
        yield Odd(f"gray-{key}.png", encoded(gray, "PNG", transparency=100 + key))
    yield Odd("palette-of-alphas.png", encoded(palette, "PNG", transparency=bytes(range(0, 256, 32))))
    yield Odd("one-color.png", encoded(Image.new("RGB", _SIZE, (9, 8, 7)), "PNG", transparency=(9, 8, 7)))
    for bits in (1, 2, 4):
        yield Odd(f"{bits}-bits.png", encoded(photo(3, size=_SIZE).quantize(2**bits), "PNG", bits=bits))


def _animated() -> Iterator[Odd]:
    frames = [photo(number, size=_SIZE) for number in (4, 5, 6)]
    for format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        yield Odd(f"animated.{format}", encoded(frames[0], format, save_all=True, append_images=frames[1:]))
    for disposal in (1, 2, 3):
        data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=disposal)
        yield Odd(f"disposal-{disposal}.gif", data)
    for compression in ("raw", "tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_lzma", "zstd"):
        yield Odd(f"{compression}.tif", encoded(frames[0], "TIFF", compression=compression))
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:], "default_image": True}
    yield Odd("behind-a-default-image.png", encoded(frames[0], "PNG", **options))


def _cut_off() -> Iterator[Odd]:
    for format in _CUT:
        data = encoded(photo(2, size=(96, 80)), format)
        for tenth in range(1, 10):
            yield Odd(f"cut-{tenth}.{format}", data[: len(data) * tenth // 10], REFUSED)


def _overwritten() -> Iterator[Odd]:
    large = photo(2, size=(160, 120))
    kinds = {
        "rgb": encoded(large, "JPEG"),
        "gray": encoded(large.convert("L"), "JPEG"),
        "cmyk": encoded(large.convert("CMYK"), "JPEG"),
        "progressive": encoded(large, "JPEG", progressive=True),
    }
    for (name, data), seed in product(kinds.items(), range(8)):
        yield Odd(f"garbled-{name}-{seed}.jpg", garbled(data, seed, 8 if seed % 2 else 1), EITHER)
    png = encoded(large, "PNG")
    for place in range(3, 10):
        at = len(png) * place // 10
        yield Odd(f"garbled-{place}.png", png[:at] + bytes([png[at] ^ 0x10]) + png[at + 1 :], REFUSED)


def _notes() -> Iterator[Odd]:
    """Whole pictures with something wrong in what is noted about them."""
    data = encoded(photo(5, size=_SIZE), "JPEG")
    table = data.index(b"\xff\xdb")
    profile = b"ICC_PROFILE\0\x09\x02" + bytes(20)
    for name, junk in {
        "junk": bytes(8),
        "more-junk": b"\x01\x02\xff\x00\x03" * 9,
        "profile": b"\xff\xe2" + struct.pack(">H", len(profile) + 2) + profile,
        "comment": b"\xff\xfe\x00\x05abc",
    }.items():
        yield Odd(f"{name}-in-header.jpg", data[:table] + junk + data[table:])
        yield Odd(f"{name}-in-header-of-a-garbled.jpg", garbled(data[:table] + junk + data[table:], 3, 8), EITHER)
    yield Odd("version-9.jpg", data.replace(b"JFIF\0\x01", b"JFIF\0\x09"))


def tiff(numbers: bytes, size: tuple[int, int], order: str, bits: int, kind: int, photometric: int = 1) -> bytes:
    """A TIFF of one number a pixel, as bytes in `order`; its kind is 1 for unsigned, 2 for signed, 3 for floats."""
    tags = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: photometric, 277: 1, 278: size[1], 279: len(numbers)}
    entries = sorted({**tags, 273: 8, 339: kind}.items())
    table = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in entries)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(entries)) + table + bytes(4)
    return mark + struct.pack(order + "I", 8 + len(numbers)) + numbers + directory


def png_of_16_bits(channels: int, color: int) -> bytes:
    """A PNG of 16 bits a number, which Pillow reads and cannot write in color."""
    numbers = np.linspace(0, 65535, 20 * 12 * channels).reshape(12, 20 * channels).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in numbers)
    header = struct.pack(">IIBBBBB", 20, 12, 16, color, 0, 0, 0)
    chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _notes_last(png: bytes) -> bytes:
    """The same PNG with its zTXt chunk behind the pixels."""
    at = png.index(b"zTXt") - 4
    end = at + 12 + int.from_bytes(png[at : at + 4])
    return png[:at] + png[end:-12] + png[at:end] + png[-12:]


def shown_by_pillow(data: bytes) -> "np.ndarray[Any, Any]":
    """Return the upright (H, W, 3) that Pillow makes of an image, transparency on white."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):  # of 16 bits, which Pillow's conversion would clip
        return np.repeat((np.asarray(image) // 257).astype(np.uint8)[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))
