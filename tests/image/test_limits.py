"""What an image may cost: bytes of its file, memory, scans; judged before anything is decoded."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dmlcli.errors import ImageError
from dmlcli.image import (
    SNIFF_LENGTH,
    SUFFIXES,
    UNREAD_SUFFIXES,
    allow_pixels,
    is_image,
    limits,
    open_image,
    read_file,
    read_stream,
)
from tests.conftest import encoded, photo
from tests.odd_images import many_scans

LIMIT = 62_500_000  # pixels: 500 MB of memory


@pytest.fixture
def _few_pixels() -> Iterator[None]:
    allow_pixels(1000)
    yield
    allow_pixels(None)


def webp_of_nothing(side: int) -> bytes:
    """The header of a lossless WebP of any size, and next to nothing behind it: 34 bytes."""
    bits = (side - 1) | (side - 1) << 14
    payload = b"\x2f" + struct.pack("<I", bits) + b"\x88\x88\x08" + bytes(6)
    return b"RIFF" + struct.pack("<I", 12 + len(payload)) + b"WEBPVP8L" + struct.pack("<I", len(payload)) + payload


@pytest.mark.parametrize(
    ("data", "needed"),
    [
        (webp_of_nothing(14_000), "3.7 GB"),
        (b"P3 12000 12000 255\n", "11.5 GB"),  # as text, which is decoded number by number
        (encoded(photo(1), "JPEG2000"), ""),
    ],
)
def test_an_image_that_takes_too_much_memory_is_refused_by_its_header(data: bytes, needed: str) -> None:
    """Also one of fewer pixels than are allowed."""
    if not needed:
        open_image(data)
        return
    with pytest.raises(ImageError, match=f"takes {needed} of memory, more than the limit of 1.6 GB") as caught:
        open_image(data)
    assert "--max-pixels" in caught.value.hint


def test_a_small_limit_of_pixels_leaves_room_for_small_images(_few_pixels: None) -> None:
    """It is for those who want no large photos, not for those who want no WebP."""
    assert open_image(encoded(Image.new("RGB", (40, 25)), "WEBP")).size == (40, 25)
    assert limits.max_memory() == limits.max_file_bytes() == 500_000_000


def test_the_frame_of_a_gif_is_checked_before_it_fills_memory() -> None:
    """Pillow makes a canvas of its size as soon as the header is read, where the frame is to be cleared later."""
    gif = bytearray(encoded(photo(1), "GIF"))
    frame = gif.index(b"\x2c\0\0\0\0")
    gif[frame:frame] = b"\x21\xf9\x04\x08\0\0\0\0"  # restore to background
    frame += 8
    gif[frame + 5 : frame + 9] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(ImageError, match="60000 x 60000 pixels are more than the limit"):
        open_image(bytes(gif))


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    """Each goes over the whole image again; those of programs have about ten."""
    whole = encoded(photo(1), "JPEG", progressive=True)
    assert 5 <= whole.count(b"\xff\xda") <= 20
    open_image(whole)
    for behind in (b"", b"\xff\xd9\xff\xd8"):
        with pytest.raises(ImageError, match="a JPEG of 3,000 scans, more than the limit of 100"):
            open_image(many_scans(whole, 3000) + behind)
    film = np.random.default_rng(0).bytes(200) + b"\xff\xda" * 3000  # of a moving photo: bytes behind the image
    assert np.array_equal(np.asarray(open_image(whole + film)), np.asarray(open_image(whole)))


def test_many_scans_over_many_pixels_are_refused() -> None:
    limits.check_scans(10, 200_000_000)
    limits.check_scans(100, 20_000_000)
    with pytest.raises(ImageError, match="11 scans over 200,000,000 pixels takes too long"):
        limits.check_scans(11, 200_000_000)


@pytest.mark.parametrize("junk", [b"\xff\xfe\x00\x02", b"\xff\x01"])
def test_a_jpeg_of_endless_segments_is_refused(junk: bytes) -> None:
    whole = encoded(photo(1), "JPEG")
    with pytest.raises(ImageError, match="more than 10,000 segments"):
        open_image(whole[:2] + junk * 20_000 + whole[2:])


def test_a_file_is_read_only_if_it_begins_like_an_image(tmp_path: Path) -> None:
    file = tmp_path / "film.jpg"
    with file.open("wb") as stream:
        stream.truncate(700 * 10**6)  # sparse, and within the limit of bytes
    with pytest.raises(ImageError, match="not an image in a supported format"):
        read_file(file)
    file.write_bytes(b"")
    with pytest.raises(ImageError, match="the file is empty"):
        read_file(file)
    file.write_bytes(encoded(photo(1)))
    assert read_file(file) == file.read_bytes()


def test_a_stream_is_read_no_further_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "max_file_bytes", lambda: 5_000_000)
    whole = bytes(4_999_999)
    assert read_stream(io.BytesIO(whole).read) == whole
    endless = io.BytesIO(bytes(20_000_000))
    with pytest.raises(ImageError, match=r"is larger than the limit of 5.0 MB"):
        read_stream(endless.read)
    assert endless.tell() < 7_000_000


@pytest.mark.parametrize(
    ("mode", "formats"),
    [
        ("RGB", "PNG JPEG GIF BMP TIFF WEBP PPM AVIF JPEG2000 TGA"),
        ("L", "PNG JPEG GIF BMP TIFF WEBP PPM AVIF JPEG2000 TGA"),
        ("P", "PNG GIF BMP TIFF TGA"),
        ("1", "PNG GIF BMP TIFF PPM TGA"),
    ],
)
def test_what_is_decoded_is_known_by_its_first_bytes(mode: str, formats: str) -> None:
    for format in formats.split():
        assert is_image(encoded(photo(1).convert(mode), format)[:SNIFF_LENGTH]), format


def test_pbm_as_text_bigtiff_and_bare_jpeg_2000_are_known() -> None:
    stream = io.BytesIO()
    photo(1).save(stream, "JPEG2000", no_jp2=True)
    bigtiff = encoded(photo(1), "TIFF", big_tiff=True)
    for data in (b"P1 2 2 0 1 1 0", b"P1\n# a note\n2 2\n0 1 1 0", stream.getvalue(), bigtiff):
        assert is_image(data[:SNIFF_LENGTH]) and open_image(data).mode == "RGB"


@pytest.mark.parametrize(
    "text", [b"BMW catalog notes\n", b"P5 prices of this year\n", b"P50 is a mug", b"GIF8 is old", b""]
)
def test_notes_that_begin_like_an_image_are_none(text: bytes) -> None:
    assert not is_image(text[:SNIFF_LENGTH])


def test_suffixes_are_either_decoded_or_named() -> None:
    assert not SUFFIXES & UNREAD_SUFFIXES
    assert {"j2k", "jp2", "pbm", "tga"} <= SUFFIXES and {"ico", "psd", "svg", "cr2"} <= UNREAD_SUFFIXES


Make = Callable[[int], bytes]
WORST: dict[str, tuple[float, Make]] = {  # bytes a pixel, and the image of a side
    "PNG": (7, lambda side: encoded(_colors(side, "RGB"), "PNG", compress_level=1)),
    "GIF": (7, lambda side: encoded(Image.new("P", (side, side)), "GIF")),
    "WEBP": (19, lambda side: encoded(_colors(side, "RGBA"), "WEBP", lossless=True, quality=0, method=0)),
    "AVIF": (21, lambda side: encoded(_colors(side, "RGBA"), "AVIF", speed=10, quality=30, subsampling="4:4:4")),
    "JPEG2000": (31, lambda side: encoded(_colors(side, "RGBA"), "JPEG2000")),
    "TIFF": (
        15,
        lambda side: encoded(_colors(side, "RGBA"), "TIFF", compression="zstd", strip_size=1 << 30),
    ),
    "progressive JPEG": (9, lambda side: encoded(_colors(side, "RGB"), "JPEG", progressive=True, subsampling=0)),
    "CMYK JPEG": (7, lambda side: encoded(_colors(side, "RGB").convert("CMYK"), "JPEG")),
}
DECODE = """
import resource, sys
from pathlib import Path
from dmlcli.image import ImageSettings, open_image, view
from dmlcli.image import pillow  # the library itself takes memory, too
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = Path(sys.argv[1]).read_bytes()
if sys.argv[2] == "view":
    view(data, ImageSettings(decode="exact"))
else:
    open_image(data)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def _colors(side: int, mode: str) -> Image.Image:
    return photo(4, size=(64, 64)).convert(mode).resize((side, side), Image.Resampling.NEAREST)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["view", "image"])
@pytest.mark.parametrize("kind", sorted(WORST))
def test_no_accepted_image_takes_more_memory_than_documented(kind: str, way: str, tmp_path: Path) -> None:
    """The largest that the limit lets through, decoded by a process of its own: 8 bytes for each allowed pixel."""
    each, make = WORST[kind]
    pixels = min(LIMIT, 8 * LIMIT / (each + 0.5))  # some of it for the file itself
    file = tmp_path / "worst"
    file.write_bytes(make(int(pixels**0.5)))
    command = [sys.executable, "-c", DECODE, str(file), way]
    environment = os.environ | {limits.VARIABLE: str(LIMIT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 8 * LIMIT + 50_000_000, f"{kind}: {int(done.stdout) / 1e6:.0f} MB"
    print(f"{kind} by {way}: {int(done.stdout) / 1e6:.0f} MB")
