"""At which scale a JPEG is decoded: as small as keeps twice the pixels that are asked for."""

from typing import Any

import pytest

from dmlcli.image import decode
from dmlcli.image.decode import Picture
from tests.conftest import encoded, photo


@pytest.mark.parametrize(("side", "width"), [(16, 100), (50, 100), (51, 200), (100, 200), (101, 400), (400, 800)])
def test_a_reduced_jpeg_keeps_twice_the_pixels_of_the_result(
    monkeypatch: pytest.MonkeyPatch, side: int, width: int
) -> None:
    """Of 800 pixels across: 100, 200 or 400 where that is still twice the side, else all of them."""
    decoded: list[int] = []
    from_jpeg = decode._from_jpeg

    def watched(data: bytes, width: int, height: int, components: int) -> Any:
        decoded.append(width)
        return from_jpeg(data, width, height, components)

    monkeypatch.setattr(decode, "_from_jpeg", watched)
    picture = Picture(encoded(photo(1, size=(800, 800)), "JPEG"))
    picture.resized((0, 0, 800, 800), side, "bilinear", exact=False)
    picture.resized((0, 0, 800, 800), side, "bilinear", exact=True)
    assert decoded == [width, 800]
