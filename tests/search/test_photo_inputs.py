"""Photos by name, by list, on stdin and in memory; what cannot be read keeps its place."""

import io
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dmlcli.errors import ImageError, UsageError
from dmlcli.image import open_image
from dmlcli.search import photo_inputs
from dmlcli.search.query_inputs import QueryInput
from tests.conftest import encoded, make_shop, photo


def decoded(source: QueryInput) -> np.ndarray:
    return np.asarray(open_image(source.read_bytes()))


def of(images: Any) -> list[QueryInput]:
    return list(photo_inputs.sources(images))


IN_MEMORY: dict[str, Callable[[Image.Image], Any]] = {
    "bytes": encoded,
    "bytearray": lambda image: bytearray(encoded(image)),
    "memoryview": lambda image: memoryview(encoded(image)),
    "file": lambda image: io.BytesIO(encoded(image)),
    "pillow": lambda image: image,
    "array": np.asarray,
    "array with alpha": lambda image: np.asarray(image.convert("RGBA")),
    "palette": lambda image: image.quantize(256),
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_an_image_in_memory_is_the_image_in_a_file(kind: str) -> None:
    image = photo(3)
    make = IN_MEMORY[kind]
    (alone,) = of(make(image))
    pixels = np.asarray(image.quantize(256).convert("RGB") if kind == "palette" else image)
    assert alone.name == "image" and (decoded(alone) == pixels).all()
    first, second = of([make(image), make(photo(4))])
    assert (first.name, second.name) == ("image[0]", "image[1]") and (decoded(first) == pixels).all()


def test_gray_arrays_and_batches() -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for image in (gray, gray[:, :, None]):
        assert (decoded(of(image)[0]) == gray[:, :, None]).all()
    batch = np.stack([np.asarray(photo(1)), np.asarray(photo(2))])
    assert photo_inputs.may_be_several(batch) and (decoded(of(batch)[1]) == batch[1]).all()
    assert [one.name for one in of(np.array(["a.jpg", "b.jpg"]))] == ["a.jpg", "b.jpg"]


def test_an_image_of_pillow_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo(3), "JPEG", exif=exif.tobytes())
    upright = np.asarray(open_image(data))
    assert upright.shape[:2] == (48, 40) and (decoded(of(Image.open(io.BytesIO(data)))[0]) == upright).all()


@pytest.mark.parametrize("array", [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)])
def test_an_array_that_is_not_an_image_is_an_image_error(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="shape"):
        of(array)[0].read_bytes()


@pytest.mark.parametrize("wrong", [5, [5], np.zeros(3), [None], io.StringIO("text")])
def test_anything_else_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="images: expected"):
        of(wrong)


def test_a_string_is_a_path_and_not_its_letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the letters of a path, / is a folder: all photos of the disk would be searched with."""
    monkeypatch.chdir(make_shop(tmp_path / "shop", 1, 1))
    assert [one.name for one in of("product-00/0.png")] == ["product-00/0.png"]
    assert not photo_inputs.may_be_several("product-00/0.png") and photo_inputs.may_be_several("product-00")
    assert [one.name for one in of("product-00")] == ["product-00/0.png"]
    assert of(Path("a.jpg")) == of("a.jpg") == of(["a.jpg"])


def test_what_cannot_be_read_keeps_its_place(tmp_path: Path) -> None:
    make_shop(tmp_path / "shop", 1, 1)
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "nothing.jpg").touch()
    (tmp_path / "round").symlink_to(tmp_path / "round")
    good = str(tmp_path / "shop" / "product-00" / "0.png")
    bad = ["a\0b", "x" * 304, "missing.jpg", tmp_path / "empty", tmp_path / "pipe", "/dev/null", tmp_path / "round"]
    bad += [tmp_path / "nothing.jpg", "/proc/kmsg", "https://example.com/a.jpg", f"{good}/a.jpg"]
    for name in bad:
        first, odd, last = of([good, name, good])
        assert first.name == last.name == good
        with pytest.raises(ImageError) as caught:
            odd.read_bytes()
        assert str(caught.value) and caught.value.hint and "--root" not in caught.value.hint
    with pytest.raises(UsageError):
        of([good, ""])


def test_a_file_of_any_size_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as stream:
        stream.truncate(3 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match="GB"):
            of(tmp_path / "huge.jpg")[0].read_bytes()
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_stdin_and_open_files_are_read_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_stream(read: Callable[[int], bytes]) -> bytes:
        assert read(3) == b"abc"
        raise ImageError("too large", hint="--max-pixels")

    monkeypatch.setattr("dmlcli.image.read_stream", read_stream)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"abcdef")))
    for source in (*of("-"), *of(io.BytesIO(b"abcdef"))):
        with pytest.raises(ImageError, match="too large") as caught:
            source.read_bytes()
        assert caught.value.hint == "--max-pixels"


def test_stdin_that_is_a_folder_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        monkeypatch.setattr(sys, "stdin", _Stdin(handle))
        with pytest.raises(ImageError, match="directory"):
            of("-")[0].read_bytes()
    finally:
        os.close(handle)


class _Stdin:
    """Stdin on a handle, as the interpreter opens it before it looks what it is."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.buffer = self

    def isatty(self) -> bool:
        return False

    def read(self, size: int) -> bytes:
        return os.read(self.handle, size)


def test_nothing_and_several() -> None:
    assert (
        photo_inputs.are_none(None)
        and photo_inputs.are_none([])
        and not photo_inputs.are_none(["a"])
        and not photo_inputs.are_none("")
    )
    assert photo_inputs.may_be_several(iter(["a.jpg"])) and not photo_inputs.may_be_several(["a.jpg"])
    assert photo_inputs.may_be_several(["a.jpg", "b.jpg"]) and not photo_inputs.may_be_several(None)
    assert of(None) == []


def test_lists_give_a_source_a_line(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a.jpg\nb\0c\n")
    first, second = photo_inputs.listed(str(tmp_path / "list"), False)
    assert (first.name, first.photo, first.failure) == ("a.jpg", Path("a.jpg"), None)
    with pytest.raises(ImageError, match="NUL"):
        second.read_bytes()
