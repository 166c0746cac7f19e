"""What can be searched with, told apart and read."""

from pathlib import Path

import pytest

from dmlcli.errors import ImageError, UsageError
from dmlcli.image import cut, open_image
from dmlcli.search import sources
from dmlcli.search.products import Candidate, fold
from tests.conftest import encoded, photo


def test_boxes_are_pixels_or_per_cent() -> None:
    assert sources.box("1,2.5,30%,4") == ((1.0, False), (2.5, False), (30.0, True), (4.0, False))
    for text in ("1,2,3", "1;2;3;4", "1,2,0,4", "1,2,3,-4", "one,2,3,4"):
        with pytest.raises(UsageError) as caught:
            sources.box(text)
        assert "--crop" in caught.value.hint


def test_a_part_is_cut_out_of_the_upright_photo() -> None:
    whole = photo(3, size=(60, 40))
    turned = encoded(whole.rotate(90, expand=True), "JPEG", quality=100, subsampling=0, exif=_turned())
    part = open_image(cut(turned, sources.box("50%,0,50%,100%")))
    assert part.size == (30, 40)
    assert part.getpixel((2, 2)) == pytest.approx(whole.getpixel((32, 2)), abs=40)
    with pytest.raises(ImageError, match="60 x 40"):
        cut(turned, sources.box("60,0,5,5"))


def _turned() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees to the right to see it upright
    return exif.tobytes()


def test_lists_name_one_photo_a_line(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a.jpg\r\n\nb c.jpg\ncaf\xe9.jpg")
    names = [source.name for source in sources.listed(str(tmp_path / "list"), b"\n")]
    assert names == ["a.jpg", "b c.jpg", "caf\udce9.jpg"]


def test_a_vector_has_no_bytes() -> None:
    with pytest.raises(ImageError):
        sources.Source("v").read_bytes()


def test_images_without_a_product_stand_for_themselves() -> None:
    rows = [
        Candidate(number, name, Path("x"), s, s) for number, (name, s) in enumerate([("", 0.9), ("", 0.8), ("a", 0.7)])
    ]
    folded = fold(rows, "max", lambda _: [])  # type: ignore[arg-type, return-value]
    assert [one.id for one in folded] == [0, 1, 2]
