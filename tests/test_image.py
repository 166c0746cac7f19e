"""The same upright, normalised pixels whatever the file; what cannot be read says why."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dmlcli.errors import ImageError
from dmlcli.image import ImageSettings, is_image, normalise, open_image, view
from tests.conftest import encoded, photo

ROTATE = 0x0112  # the EXIF tag of orientation
SMALL = ImageSettings(resize=36, crop=32)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_formats_are_recognised_by_content_and_decoded(format: str) -> None:
    data = encoded(photo(1), format)
    assert is_image(data[:16])
    opened = open_image(data)
    assert (opened.mode, opened.size) == ("RGB", (48, 40))
    assert abs(np.asarray(opened, dtype=float) - np.asarray(photo(1), dtype=float)).mean() < 20


@pytest.mark.parametrize("data", [b"", b"hello, shopper", b"%PDF-1.7", b"RIFF0000WAVE", b"\x00" * 16, b"PK\x03\x04"])
def test_other_files_are_not_taken_for_images(data: bytes) -> None:
    assert not is_image(data)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_applied(orientation: int) -> None:
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
    opened = open_image(encoded(stored, "PNG", exif=exif))
    assert np.array_equal(np.asarray(opened), np.asarray(seen))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    grey = Image.new("L", (20, 10), 128)
    image: Image.Image
    if mode == "I;16":
        image = Image.fromarray(np.full((10, 20), 128 * 257, dtype=np.uint16))
    else:
        image = grey.convert("RGB").convert(mode) if mode in ("P", "CMYK", "RGBA") else grey.convert(mode)
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
        (b"not an image at all", "not an image in a format known here"),
        (encoded(photo(1), "JPEG")[:-400], "truncated"),
        (encoded(photo(1), "PNG")[:200], ""),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason or None) as caught:
        open_image(data)
    assert str(caught.value) and "BytesIO" not in str(caught.value)


def test_a_view_is_the_normalised_centre() -> None:
    """Red all over but for the borders, which the centre crop leaves out."""
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


def test_normalise_is_the_formula() -> None:
    rgb: Any = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.float32)
    settings = ImageSettings(mean=(0.1, 0.2, 0.3), deviation=(0.5, 0.6, 0.7))
    expected = ((rgb / 255 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]).transpose(2, 0, 1)
    assert np.allclose(normalise(rgb, settings), expected, atol=1e-6)
