"""Thumbnails are small JPEGs inside the page; an image that cannot be read has none."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from dmlcli.pages.thumbnails import thumbnail
from tests.conftest import encoded, photo


def test_the_longer_side_has_the_pixels_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(photo(1, size=(600, 300))))
    for image in (tmp_path / "a.png", (tmp_path / "a.png").read_bytes()):
        name, uri, width, height = thumbnail("mug", image, 120)
        assert (
            (name, width, height) == ("mug", 120, 60) and uri is not None and uri.startswith("data:image/jpeg;base64,")
        )
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as small:
            assert small.size == (120, 60)


@pytest.mark.parametrize("name", ["gone.png", "notes.png", "-"])
def test_what_cannot_be_read_has_no_thumbnail(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    assert thumbnail("mug", tmp_path / name, 120) == ("mug", None, 1, 1)
