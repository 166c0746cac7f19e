"""Each odd image is decoded as Pillow does, or refused with a reason."""

import numpy as np
import pytest
import simplejpeg

from dmlcli.errors import ImageError
from dmlcli.image import ImageSettings, open_image, view
from tests.conftest import encoded, photo
from tests.odd_images import EITHER, REFUSED, SAME, Odd, garbled, odd_images, shown_by_pillow, tiff

ODD = odd_images()
WHOLE = encoded(photo(1, size=(160, 120)), "JPEG", quality=90)


def libjpeg_warns(data: bytes) -> bool:
    try:
        simplejpeg.decode_jpeg(data, strict=True)
    except ValueError:
        return True
    return False


def test_there_are_at_least_two_hundred_of_them() -> None:
    counts = {expected: sum(odd.expected == expected for odd in ODD) for expected in (SAME, REFUSED, EITHER)}
    assert counts[SAME] >= 200 and counts[REFUSED] >= 60
    assert len({odd.name for odd in ODD}) == len(ODD)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_odd_images_are_decoded_as_pillow_does_or_refused(odd: Odd) -> None:
    if odd.expected == EITHER:
        try:
            opened = open_image(odd.data)
        except ImageError as error:
            assert str(error)
            return
    elif odd.expected == REFUSED:
        with pytest.raises(ImageError, match=r"\w") as caught:
            open_image(odd.data)
        assert "object at" not in str(caught.value)
        return
    else:
        opened = open_image(odd.data)
    found, expected = np.asarray(opened, dtype=int), shown_by_pillow(odd.data)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpegs_that_libjpeg_warns_of_are_refused(mode: str, progressive: bool) -> None:
    """Whatever the colors: Pillow alone shows all of these."""
    whole = encoded(photo(2, size=(160, 120)).convert(mode), "JPEG", progressive=progressive)
    open_image(whole)
    warned = 0
    for seed in range(30):
        data = garbled(whole, seed, 8)
        if libjpeg_warns(data):
            warned += 1
            with pytest.raises(ImageError, match=r"damaged|truncated"):
                open_image(data)
    assert warned >= 5


def test_bytes_left_over_in_a_scan_are_damage() -> None:
    """Zeros before the end marker and anything behind it are not: some cameras write these."""
    left_over = WHOLE[:-2] + b"\x12\x34" * 20 + b"\xff\xd9"
    with pytest.raises(ImageError, match=r"damaged .*extraneous bytes before marker 0xd9"):
        open_image(left_over)
    expected = np.asarray(open_image(WHOLE))
    for data in (WHOLE[:-2] + bytes(40) + b"\xff\xd9", WHOLE + b"\x12\x34" * 20, WHOLE + WHOLE):
        assert np.array_equal(np.asarray(open_image(data)), expected)


def test_notes_in_the_header_of_a_jpeg_decide_nothing() -> None:
    """Junk between its segments, a color profile without its first part, another version of JFIF."""
    expected = np.asarray(open_image(WHOLE))
    table = WHOLE.index(b"\xff\xdb")
    profile = b"\xff\xe2\x00\x20ICC_PROFILE\0\x09\x02" + bytes(16)
    for data in (
        WHOLE[:table] + bytes(8) + WHOLE[table:],
        WHOLE[:table] + profile + WHOLE[table:],
        WHOLE.replace(b"JFIF\0\x01", b"JFIF\0\x09"),
        WHOLE[:table] + bytes(8) + profile + WHOLE[table:-2] + bytes(9) + WHOLE[-2:],
    ):
        assert libjpeg_warns(data)
        assert np.array_equal(np.asarray(open_image(data)), expected)
    with pytest.raises(ImageError, match=r"damaged"):  # a note does not hide damage
        open_image(WHOLE[:table] + bytes(8) + WHOLE[table:-2] + b"\x12\x34" * 20 + WHOLE[-2:])


def test_a_png_is_refused_for_its_pixels_and_not_for_its_notes() -> None:
    whole = encoded(photo(5), "PNG", dpi=(72, 72))
    at = whole.index(b"pHYs") + 4
    noted = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    assert np.array_equal(np.asarray(open_image(noted)), np.asarray(open_image(whole)))
    at = whole.index(b"IDAT") + 40
    with pytest.raises(ImageError, match=r"damaged .*IDAT"):
        open_image(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])


@pytest.mark.parametrize(("bits", "white"), [(12, 4095), (16, 65535)])
def test_the_white_of_a_tiff_is_that_of_its_bits(bits: int, white: int) -> None:
    """Black to white, and the other way round where the TIFF says so."""
    numbers = np.array([0, white // 2, white, 100], dtype=np.uint16)
    if bits == 16:
        packed = numbers.astype("<u2").tobytes()
    else:
        packed = int("".join(f"{number:012b}" for number in numbers), 2).to_bytes(6)
    expected = numbers * 255.0 / white
    shown = np.asarray(open_image(tiff(packed, (4, 1), "<", bits, 1)))[0, :, 0]
    assert np.abs(shown - expected).max() <= 1
    if bits == 16:
        shown = np.asarray(open_image(tiff(packed, (4, 1), "<", bits, 1, photometric=0)))[0, :, 0]
        assert np.abs(shown - (255 - expected)).max() <= 1


def test_a_damaged_tiff_is_refused_in_the_words_of_libtiff(capfd: pytest.CaptureFixture[str]) -> None:
    """They are part of the reason; nothing is printed, where nobody knows of which file."""
    whole = encoded(photo(1, size=(96, 80)), "TIFF", compression="tiff_lzw")
    data = whole[:1000] + bytes(200) + whole[1200:]
    with pytest.raises(ImageError, match=r"damaged \(.*scanline"):
        view(data, ImageSettings())
    assert capfd.readouterr() == ("", "")
