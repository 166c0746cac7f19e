"""A photo in a few bytes: the same picture stays close, another one does not."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dmlcli.checks import perceptual_hash
from dmlcli.checks.duplicates import ALIKE_BITS, is_alike
from dmlcli.image import open_image
from tests.conftest import SAMPLE, encoded

PICTURES = sorted((SAMPLE / "catalog").glob("mug/*/[1-3].jpg"))
Change = Callable[[Image.Image], Image.Image]


def of(images: list[Image.Image]) -> perceptual_hash.GrayThumbnails:
    return np.stack([perceptual_hash.gray_thumbnail(encoded(image)) for image in images])


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    return [Image.open(file).convert("RGB") for file in PICTURES]


@pytest.mark.parametrize(
    "change",
    [
        lambda image: open_image(encoded(image, "JPEG", quality=30)),
        lambda image: image.resize((image.width // 2, image.height // 2)),
        lambda image: image.resize((image.width * 2, image.height)),
        lambda image: ImageEnhance.Brightness(image).enhance(0.9),
        lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    ],
    ids=["compressed", "smaller", "wider", "darker", "contrast"],
)
def test_a_changed_copy_is_the_same_picture(change: Change, originals: list[Image.Image]) -> None:
    assert is_alike(of(originals), of([change(image) for image in originals])).mean() > 0.95


def test_other_views_of_a_product_are_other_pictures(originals: list[Image.Image]) -> None:
    rows = of(originals)
    one, other = np.triu_indices(len(rows), 1)
    assert not is_alike(rows[one], rows[other]).any()


def test_another_color_is_another_picture() -> None:
    """A red and a blue mug, as bright as each other: the same in gray."""
    shape = np.random.default_rng(0).random((1, 32, 32, 1))
    red, blue = ((shape * tint).astype(np.uint8) for tint in ((200.0, 60.0, 60.0), (60.0, 118.0, 200.0)))
    bits = np.unpackbits((perceptual_hash.hashes(red) ^ perceptual_hash.hashes(blue)).view(np.uint8)).sum()
    assert bits <= ALIKE_BITS and not is_alike(red, blue).any()


def test_the_header_tells_mode_turn_and_time() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:01 12:00:10"
    header = perceptual_hash.read_header(encoded(Image.new("RGB", (40, 30)), "JPEG", exif=exif))
    assert (header.width, header.height, header.mode, header.rotated) == (40, 30, "RGB", True)
    assert header.taken % 60 == 10
    plain = perceptual_hash.read_header(encoded(Image.new("RGBA", (40, 30))))
    assert plain.transparent and not plain.rotated and np.isnan(plain.taken)


def test_one_color_is_blank_and_a_picture_is_not(originals: list[Image.Image]) -> None:
    assert perceptual_hash.is_blank(perceptual_hash.gray_thumbnail(encoded(Image.new("RGB", (50, 50), "teal"))))
    assert not any(perceptual_hash.is_blank(row) for row in of(originals))
