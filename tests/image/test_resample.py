"""Our shrinking is Pillow's, unrounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dmlcli.image.resample import resample

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
sides = st.integers(1, 90)
shares = st.floats(0, 1)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(sides, sides, shares, shares, shares, shares, st.integers(1, 40), st.sampled_from(sorted(FILTERS)))
def test_it_is_pillows_resize_within_rounding(
    width: int, height: int, a: float, b: float, c: float, d: float, side: int, interpolation: str
) -> None:
    left, right = sorted((a * width, b * width))
    top, bottom = sorted((c * height, d * height))
    if right - left < 0.5 or bottom - top < 0.5:
        left, top, right, bottom = 0.0, 0.0, float(width), float(height)
    # no black and white: Pillow clips bicubic's overshoot after each side, we once
    pixels = np.random.default_rng(width * 91 + height).integers(64, 192, (height, width, 3), dtype=np.uint8)
    box = (left, top, right, bottom)
    theirs = Image.fromarray(pixels).resize((side, side), FILTERS[interpolation], box=box)
    ours = resample(pixels, box, side, interpolation)
    assert ours.shape == (side, side, 3)
    assert np.abs(np.round(ours) - np.asarray(theirs, np.float32)).max() <= (1 if interpolation == "bilinear" else 2)


@pytest.mark.parametrize("side", [1, 2, 3, 5, 30])
def test_one_color_stays_what_it_is(side: int) -> None:
    pixels = np.full((37, 53, 3), (7, 200, 255), dtype=np.uint8)
    assert np.allclose(resample(pixels, (1.5, 0.25, 40.0, 36.9), side, "bilinear"), (7, 200, 255), atol=1e-3)


def test_memory_that_is_used_again_does_not_leak_into_the_next_picture() -> None:
    large, small = (np.random.default_rng(n).integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (90, 40))
    first = resample(small, (0, 0, 40, 40), 16, "bilinear")
    resample(large, (0, 0, 90, 90), 32, "bilinear")
    assert np.array_equal(resample(small, (0, 0, 40, 40), 16, "bilinear"), first)


@pytest.mark.parametrize("side", [30, 50, 90])
@pytest.mark.parametrize("upright", [True, False])
def test_bicubic_overshoot_is_cut_off_as_pillow_does(side: int, upright: bool) -> None:
    """At edges of black and white the filter gives less than black and more than white."""
    stripes = np.zeros((40, 40, 3), dtype=np.uint8)
    stripes[:, ::8] = stripes[:, 1::8] = stripes[:, 2::8] = stripes[:, 3::8] = 255
    pixels = stripes if upright else stripes.transpose(1, 0, 2).copy()
    ours = resample(pixels, (0, 0, 40, 40), side, "bicubic")
    theirs = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC), np.float32)
    assert ours.min() == 0 and ours.max() == 255
    assert np.abs(np.round(ours) - theirs).max() <= 1
