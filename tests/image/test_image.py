"""The same upright, normalized pixels whatever the file; what cannot be read says why."""

import io
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dmlcli.errors import ImageError, UsageError
from dmlcli.image import ImageSettings, Picture, allow_pixels, is_image, limits, normalize, open_image, read_file, view
from tests.conftest import encoded, photo

ROTATE = 0x0112  # the EXIF tag of orientation
SMALL = ImageSettings(resize=36, crop=32)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000"])
def test_formats_are_recognized_by_content_and_decoded(format: str) -> None:
    data = encoded(photo(1), format)
    assert is_image(data[:16])
    opened = open_image(data)
    assert (opened.mode, opened.size) == ("RGB", (48, 40))
    assert abs(np.asarray(opened, dtype=float) - np.asarray(photo(1), dtype=float)).mean() < 20


@pytest.mark.parametrize("data", [b"", b"hello, shopper", b"%PDF-1.7", b"RIFF0000WAVE", b"\x00" * 16, b"PK\x03\x04"])
def test_other_files_are_not_taken_for_images(data: bytes) -> None:
    assert not is_image(data)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_applied(orientation: int, format: str) -> None:
    """What a camera stores turned comes out as it was seen."""
    seen = photo(3)
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = seen
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[ROTATE] = orientation
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encoded(stored, format, exif=exif, **options.get(format, {}))
    tolerance = 24 if format == "JPEG" else 0
    opened = np.asarray(open_image(data), dtype=np.float32)
    assert opened.shape == (40, 48, 3) and np.abs(opened - np.asarray(seen)).max() <= tolerance
    box = (4, 3, 44, 33)  # of the upright picture
    expected = np.asarray(seen.resize((10, 10), Image.Resampling.BILINEAR, box=box), dtype=np.float32)
    found = Picture(data).resized(box, 10, "bilinear", exact=True)
    assert np.abs(found - expected).max() <= tolerance + 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_color_mode_becomes_rgb(mode: str) -> None:
    gray = Image.new("L", (20, 10), 128)
    image: Image.Image
    if mode == "I;16":
        image = Image.fromarray(np.full((10, 20), 128 * 257, dtype=np.uint16))
    else:
        image = gray.convert("RGB").convert(mode) if mode in ("P", "CMYK", "RGBA") else gray.convert(mode)
    opened = open_image(encoded(image, "TIFF" if mode == "CMYK" else "PNG"))
    assert opened.mode == "RGB"
    assert abs(float(np.asarray(opened).mean()) - 128) < (130 if mode == "1" else 3)


def test_what_is_transparent_lies_on_white() -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert np.asarray(open_image(encoded(image))).min() == 255


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not an image at all", "not an image in a supported format"),
        (encoded(photo(1), "JPEG")[:-400], "truncated"),
        (encoded(photo(1), "PNG")[:200], ""),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason or None) as caught:
        open_image(data)
    assert str(caught.value) and "BytesIO" not in str(caught.value)


def test_a_view_is_the_normalized_center() -> None:
    """Red all over but for the borders, which the center crop leaves out."""
    pixels = np.zeros((100, 200, 3), dtype=np.uint8)
    pixels[8:92, 60:140] = (255, 0, 0)
    seen = view(encoded(Image.fromarray(pixels)), ImageSettings(resize=100, crop=80))
    assert seen.shape == (3, 80, 80) and seen.dtype == np.float32
    expected = (np.array([1, 0, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(seen[:, 3:-3, 3:-3], expected[:, None, None], atol=0.02)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (17, 23), (3000, 30)])
def test_pictures_of_any_shape_give_a_view(size: tuple[int, int]) -> None:
    seen = view(encoded(Image.new("RGB", size, (10, 200, 30))), SMALL)
    assert seen.shape == (3, 32, 32) and np.isfinite(seen).all()


def test_decoding_a_large_jpeg_smaller_changes_little() -> None:
    large = encoded(photo(5, size=(1600, 1200)), "JPEG", quality=95)
    assert open_image(large, at_least=64).size < open_image(large).size
    assert 0 < abs(view(large, SMALL) - view(large, replace(SMALL, decode="exact"))).mean() < 0.05


def test_normalize_is_the_formula() -> None:
    rgb: Any = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.float32)
    settings = ImageSettings(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    expected = ((rgb / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]).transpose(2, 0, 1)
    assert np.allclose(normalize(rgb, settings), expected, atol=1e-6)


def test_damaged_exif_is_no_reason_to_lose_a_picture() -> None:
    data = bytearray(encoded(photo(1), "JPEG", exif=Image.Exif()))
    whole = encoded(photo(1), "JPEG")
    segment = b"\xff\xe1\x00\x18Exif\x00\x00II*\x00\xff\xff\xff\x7f" + bytes(8)
    data = bytearray(whole[:2] + segment + whole[2:])
    assert np.array_equal(np.asarray(open_image(bytes(data))), np.asarray(open_image(whole)))


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    for format in ("PNG", "TIFF"):
        opened = np.asarray(open_image(encoded(Image.fromarray(ramp), format)))
        assert np.abs(opened[..., 0] - ramp / 257).max() <= 1, format


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_a_white_are_refused(mode: str) -> None:
    image = Image.fromarray(np.full((4, 4), 1e6, dtype=np.float32 if mode == "F" else np.int32))
    with pytest.raises(ImageError, match="whose black and white points are unknown"):
        open_image(encoded(image, "TIFF"))


@pytest.mark.parametrize("color", [(255, 0, 0), (20, 200, 90), (255, 255, 255), (0, 0, 0)])
def test_cmyk_of_adobe_is_not_turned_into_its_negative(color: tuple[int, int, int]) -> None:
    """Pillow writes what Photoshop does: inverted, with Adobe's mark."""
    data = encoded(Image.new("RGB", (16, 16), color).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.abs(np.asarray(open_image(data), dtype=int) - color).max() < 6


def test_gray_and_progressive_jpegs_are_decoded_as_pillow_does() -> None:
    for image, options in ((photo(1).convert("L"), {}), (photo(2), {"progressive": True}), (photo(3), {})):
        data = encoded(image, "JPEG", **options)
        expected = Image.open(io.BytesIO(data)).convert("RGB")
        assert np.array_equal(np.asarray(open_image(data)), np.asarray(expected))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(format: str) -> None:
    frames = [Image.new("RGB", (16, 12), color) for color in ("red", "lime", "blue")]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    assert np.abs(np.asarray(open_image(data), dtype=int) - (255, 0, 0)).max() < 12


def test_transparent_palettes_and_grays_lie_on_white_too() -> None:
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    for data in (
        encoded(palette, "PNG", transparency=0),
        encoded(palette, "GIF", transparency=0),
        encoded(Image.new("LA", (4, 4), (0, 0)), "PNG"),
    ):
        assert np.asarray(open_image(data)).min() == 255


def test_heic_is_decoded_where_its_library_is_and_says_which_where_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pip install 'dmlcli[heic]'")
    stream = io.BytesIO()
    pillow_heif.from_pillow(photo(1, size=(64, 48))).save(stream, quality=90)
    data = stream.getvalue()
    assert is_image(data[:16]) and open_image(data).size == (64, 48)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'dmlcli\[heic\]'"):
        open_image(data)


def test_a_jpeg_cut_and_properly_ended_is_still_reported() -> None:
    """Pillow alone gives a picture that is gray below."""
    whole = encoded(photo(1, size=(160, 120)), "JPEG", quality=90)
    with pytest.raises(ImageError, match="truncated"):
        view(whole[: len(whole) // 2] + b"\xff\xd9", SMALL)
    assert np.array_equal(view(whole[:-2] + bytes(7) + whole[-2:], SMALL), view(whole, SMALL))  # some cameras do this


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_pictures_above_the_limit_are_refused_by_their_header(format: str) -> None:
    """Also where a reduced scale would have been small."""
    data = encoded(Image.new("RGB", (400, 300)), format)
    allow_pixels(400 * 300 - 1)
    try:
        with pytest.raises(ImageError, match="400 x 300 pixels are more than the limit of 119,999") as caught:
            view(data, SMALL)
        assert "--max-pixels 120000" in caught.value.hint
        allow_pixels(400 * 300)
        view(data, SMALL)
    finally:
        allow_pixels(None)


def test_the_limit_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMLCLI_MAX_PIXELS", "1000")
    with pytest.raises(ImageError, match="more than the limit of 1,000"):
        open_image(encoded(photo(1)))
    monkeypatch.setenv("DMLCLI_MAX_PIXELS", "many")
    with pytest.raises(UsageError, match="invalid DMLCLI_MAX_PIXELS: 'many'"):
        open_image(encoded(photo(1)))


def test_no_more_pixels_are_decoded_at_once_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty giants in eight threads: at most two at a time, and one larger than the room goes alone."""
    monkeypatch.setattr(limits, "_AT_ONCE", 100)  # bytes
    now, most, lock = 0, 0, threading.Lock()

    def decode(pixels: int) -> None:
        nonlocal now, most
        with limits.room(pixels):
            with lock:
                now += min(pixels, 100)
                most = max(most, now)
            time.sleep(0.002)
            with lock:
                now -= min(pixels, 100)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decode, [40, 50, 500, 100, 45] * 4))
    assert 50 <= most <= 100 and limits._decoding == 0


def test_a_box_is_seen_as_if_it_were_the_picture() -> None:
    large = photo(4, size=(200, 160))
    part = (50, 20, 170, 130)
    expected = view(encoded(large.crop(part)), SMALL)
    assert abs(view(encoded(large), SMALL, part) - expected).mean() < 0.02
    with pytest.raises(ImageError, match="outside"):
        view(encoded(large), SMALL, (300, 300, 400, 400))


@pytest.mark.parametrize("kind", ["folder", "fifo", "missing", "loop", "device", "name"])
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jpg"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    path = {"device": Path("/dev/zero"), "name": Path("a\0b")}.get(kind, path)
    reasons = {"missing": "'x.jpg' not found", "loop": "symbolic links", "name": "invalid file name"}
    with pytest.raises(ImageError, match=reasons.get(kind, "not a regular file")):
        read_file(path)


def test_a_file_larger_than_any_picture_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "film.jpg"
    with file.open("wb") as stream:
        stream.truncate(20 * 10**9)  # sparse
    with pytest.raises(ImageError, match=r"the file of 20.0 GB is larger than the limit of 800.0 MB"):
        read_file(file)
