"""Random views differ where they should, and come out the same where they must."""

import random

import numpy as np
import pytest

from dmlcli.image import ImageSettings, view
from dmlcli.learn.augment import fixed_view, random_view, view_names
from tests.conftest import encoded, photo

SETTINGS = ImageSettings(resize=36, crop=32)
DATA = encoded(photo(1, size=(80, 60)))


def test_plain_and_flip_are_the_view_and_its_mirror() -> None:
    plain = view(DATA, SETTINGS)
    assert np.array_equal(fixed_view(SETTINGS, "plain")(DATA), plain)
    assert np.array_equal(fixed_view(SETTINGS, "flip")(DATA), plain[:, :, ::-1])


def test_a_named_crop_is_always_the_same_and_another_name_is_another_crop() -> None:
    one, again, other = (fixed_view(SETTINGS, name)(DATA) for name in ("light1-seed0", "light1-seed0", "light2-seed0"))
    assert np.array_equal(one, again)
    assert abs(one - other).mean() > 0.05


def test_two_images_are_not_cropped_alike() -> None:
    crop = fixed_view(ImageSettings(36, 32, mean=(0, 0, 0), deviation=(1, 1, 1)), "light1-seed0")
    gradient = np.zeros((60, 80, 3), dtype=np.uint8)
    gradient[:] = np.arange(80, dtype=np.uint8)[:, None] * 3
    centres = set()
    for number in range(5):
        gradient[0, 0] = number  # other bytes, the same picture
        from PIL import Image

        centres.add(round(float(crop(encoded(Image.fromarray(gradient))).mean()), 3))
    assert len(centres) == 5


@pytest.mark.parametrize("size", [(80, 60), (1, 1), (300, 2), (2, 300)])
def test_random_views_of_any_shape_are_finite(size: tuple[int, int]) -> None:
    data = encoded(photo(2, size=size))
    for seed in range(10):
        seen = random_view(data, SETTINGS, random.Random(seed))
        assert seen.shape == (3, 32, 32) and seen.dtype == np.float32 and np.isfinite(seen).all()


def test_half_of_the_random_views_are_mirrored() -> None:
    """Of a picture that is dark on the left and bright on the right."""
    ramp = np.zeros((60, 80, 3), dtype=np.uint8)
    ramp[:] = np.linspace(0, 255, 80).astype(np.uint8)[None, :, None]
    from PIL import Image

    data = encoded(Image.fromarray(ramp))
    views = [random_view(data, SETTINGS, random.Random(seed)) for seed in range(60)]
    mirrored = sum(bool(seen[:, :, :4].mean() > seen[:, :, -4:].mean()) for seen in views)
    assert 15 < mirrored < 45


def test_colours_stay_in_range() -> None:
    white = encoded(photo(0).point(lambda _: 255))
    low, high = (np.array([0, 1])[:, None] - SETTINGS.mean) / SETTINGS.deviation
    for seed in range(20):
        seen = random_view(white, SETTINGS, random.Random(seed)).reshape(3, -1)
        assert (seen.min(1) >= low - 1e-4).all() and (seen.max(1) <= high + 1e-4).all()


def test_views_are_plain_then_mirrored_then_random_ones_of_the_seed() -> None:
    assert view_names(1, 0) == ["plain"]
    assert view_names(4, 7) == ["plain", "flip", "light1-seed7", "light2-seed7"]
