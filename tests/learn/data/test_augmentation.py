"""Random views differ where they should, and come out the same where they must."""

import random

import numpy as np
import pytest

from dmlcli.errors import UsageError
from dmlcli.image import ImageSettings, view
from dmlcli.learn.data.augmentation import (
    PRESETS,
    _blurred,
    _erase,
    _relit,
    _tilted,
    fixed_view,
    preset,
    random_view,
    view_names,
)
from dmlcli.learn.recipe import FIELDS
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
    crop = fixed_view(ImageSettings(36, 32, mean=(0, 0, 0), std=(1, 1, 1)), "light1-seed0")
    gradient = np.zeros((60, 80, 3), dtype=np.uint8)
    gradient[:] = np.arange(80, dtype=np.uint8)[:, None] * 3
    centers = set()
    for number in range(5):
        gradient[0, 0] = number  # other bytes, the same picture
        from PIL import Image

        centers.add(round(float(crop(encoded(Image.fromarray(gradient))).mean()), 3))
    assert len(centers) == 5


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


def test_colors_stay_in_range() -> None:
    white = encoded(photo(0).point(lambda _: 255))
    low, high = (np.array([0, 1])[:, None] - SETTINGS.mean) / SETTINGS.std
    for seed in range(20):
        seen = random_view(white, SETTINGS, random.Random(seed)).reshape(3, -1)
        assert (seen.min(1) >= low - 1e-4).all() and (seen.max(1) <= high + 1e-4).all()


def test_views_are_plain_then_mirrored_then_random_ones_of_the_seed() -> None:
    assert view_names(1, 0) == ["plain"]
    assert view_names(4, 7) == ["plain", "flip", "light1-seed7", "light2-seed7"]


@pytest.mark.parametrize("augment", [name for name in PRESETS if name != "none"])
@pytest.mark.parametrize("size", [(80, 60), (1, 1), (300, 2)])
def test_every_preset_gives_finite_views_in_range(augment: str, size: tuple[int, int]) -> None:
    data = encoded(photo(2, size=size))
    low, high = (np.array([0, 1])[:, None] - SETTINGS.mean) / SETTINGS.std
    for seed in range(25):
        seen = random_view(data, SETTINGS, random.Random(seed), augment)
        assert seen.shape == (3, 32, 32) and seen.dtype == np.float32 and seen.flags.c_contiguous
        rows = seen.reshape(3, -1)
        assert (rows.min(1) >= low - 1e-4).all() and (rows.max(1) <= high + 1e-4).all()


def test_without_augmentation_every_view_is_the_plain_one() -> None:
    assert view_names(4, 0, "none") == ["plain"]
    assert np.array_equal(random_view(DATA, SETTINGS, random.Random(3), "none"), view(DATA, SETTINGS))


def test_the_command_line_offers_the_presets_there_are() -> None:
    assert set(FIELDS["augment"].setting.choices) == set(PRESETS)
    with pytest.raises(UsageError, match="strnog") as caught:
        preset("strnog")
    assert "strong" in caught.value.hint


def test_light_is_brightness_contrast_and_saturation_one_after_the_other() -> None:
    rgb = np.random.default_rng(0).uniform(60, 120, (8, 8, 3)).astype(np.float32)
    brightness, contrast, saturation = _drawn(5, 0.3)
    expected = rgb * brightness
    expected = (expected - expected.mean()) * contrast + expected.mean()
    gray = expected.mean(axis=2, keepdims=True)
    expected = (expected - gray) * saturation + gray
    assert np.allclose(_relit(rgb, 0.3, False, random.Random(5)), expected.clip(0, 255), atol=0.01)
    assert np.ptp(_relit(rgb, 0.3, True, random.Random(5)), axis=2).max() < 1e-3  # gray: all colors alike


def _drawn(seed: int, light: float) -> tuple[float, float, float]:
    rng = random.Random(seed)
    first, second, third = (rng.uniform(1 - light, 1 + light) for _ in range(3))
    return first, second, third


def test_blur_keeps_flat_color_and_the_mean_and_takes_contrast() -> None:
    flat = np.full((20, 20, 3), 77, np.float32)
    assert np.allclose(_blurred(flat, 1.3), 77, atol=1e-3)
    noise = np.random.default_rng(0).uniform(0, 255, (40, 40, 3)).astype(np.float32)
    assert _blurred(noise, 2.0).std() < 0.3 * noise.std()
    point = np.zeros((21, 21, 3), np.float32)
    point[10, 10] = 1
    spread = _blurred(point, 1.0)
    assert spread.sum() == pytest.approx(3, abs=1e-4) and spread[10, 10, 0] == pytest.approx(1 / (2 * np.pi), rel=0.01)


def test_tilting_moves_corners_inwards_and_stays_inside() -> None:
    ramp = np.empty((32, 32, 3), np.float32)
    ramp[:] = np.arange(32, dtype=np.float32)[None, :, None]
    for seed in range(20):
        tilted = _tilted(ramp, random.Random(seed))
        assert (tilted[0, 0] >= 0).all() and (tilted[0, 0] <= 0.1 * 32).all() and (tilted[0, -1] >= 0.9 * 31 - 1).all()
        assert (np.diff(tilted[..., 0], axis=1) > 0).all()  # left stays left


def test_erasing_puts_the_mean_color_into_one_rectangle() -> None:
    for seed in range(20):
        rgb = np.zeros((32, 32, 3), np.float32)
        _erase(rgb, SETTINGS, random.Random(seed))
        rows, columns = np.flatnonzero(rgb.any(axis=(1, 2))), np.flatnonzero(rgb.any(axis=(0, 2)))
        part = rgb[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert np.allclose(part, 255 * np.array(SETTINGS.mean), atol=1e-3)
        assert 0.01 < part[..., 0].size / 32**2 < 0.4
