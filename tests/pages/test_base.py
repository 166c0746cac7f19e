"""The shell of every page: whole, closed to the network, and safe from names that try to be markup."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from dmlcli.pages import base
from tests.conftest import encoded, photo


def test_a_page_holds_everything_and_asks_nobody() -> None:
    text = base.page("A & B", "<p>hello</p>", style="p { margin: 0 }", script="let a = 1 < 2;")
    assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")
    assert "<title>A &amp; B</title>" in text and "<p>hello</p>" in text and "let a = 1 < 2;" in text
    assert "default-src 'none'" in text and "http://" not in text and "https://" not in text


def test_names_cannot_become_markup() -> None:
    assert base.escape("<b onload='x'>\"&") == "&lt;b onload=&#x27;x&#x27;&gt;&quot;&amp;"
    assert base.escape("caf\udce9").isprintable()
    assert "<script>alert" not in base.page("<script>alert(1)</script>", "")


def test_a_thumbnail_is_a_small_picture_inside_the_page(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(photo(1, size=(600, 300))))
    uri = base.thumbnail(tmp_path / "a.png", 120)
    assert uri is not None and uri.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as small:
        assert small.size == (120, 60)
    assert base.thumbnail(encoded(photo(1)), 120) is not None


@pytest.mark.parametrize("name", ["gone.png", "notes.png", "-"])
def test_what_cannot_be_read_has_no_thumbnail(tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.png").write_text("no picture")
    assert base.thumbnail(tmp_path / name) is None
