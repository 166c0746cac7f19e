"""What can be searched with, recognized and read."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.errors import CannotRun, ImageError, UsageError
from dmlcli.image import cut, open_image
from dmlcli.indexes.gallery import Found
from dmlcli.search import query_inputs
from dmlcli.search.product_grouping import ImageCandidate, fold
from tests.conftest import encoded, photo


def test_boxes_are_pixels_or_per_cent() -> None:
    assert query_inputs.box("1,2.5,30%,4") == ((1.0, False), (2.5, False), (30.0, True), (4.0, False))
    for text in ("1,2,3", "1;2;3;4", "1,2,0,4", "1,2,3,-4", "one,2,3,4"):
        with pytest.raises(UsageError) as caught:
            query_inputs.box(text)
        assert "--crop" in caught.value.hint


def test_a_part_is_cut_out_of_the_upright_photo() -> None:
    whole = photo(3, size=(60, 40))
    turned = encoded(whole.rotate(90, expand=True), "JPEG", quality=100, subsampling=0, exif=_turned())
    part = open_image(cut(turned, query_inputs.box("50%,0,50%,100%")))
    assert part.size == (30, 40)
    assert part.getpixel((2, 2)) == pytest.approx(whole.getpixel((32, 2)), abs=40)
    with pytest.raises(ImageError, match="60 x 40"):
        cut(turned, query_inputs.box("60,0,5,5"))


def _turned() -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by 90 degrees to the right to see it upright
    return exif.tobytes()


def test_a_vector_has_no_bytes() -> None:
    with pytest.raises(ImageError):
        query_inputs.QueryInput("v").read_bytes()


def test_images_without_a_product_stand_for_themselves() -> None:
    rows = [
        ImageCandidate(number, name, Found(number, s, name, "x", Path()), s, s)
        for number, (name, s) in enumerate([("", 0.9), ("", 0.8), ("a", 0.7)])
    ]
    folded = fold(rows, "max", lambda _: [])
    assert [one.id for one in folded] == [0, 1, 2]


class Shelf:
    """As much of an index as naming something in it needs."""

    place, root = "shelf", Path("/shop")

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = np.array(rows, dtype=np.float32)

    def vectors(self, ids: Any) -> Any:
        return self.rows[ids]

    def of_product(self, product: str, among: Any = None) -> Any:
        return np.array([1, 2] if product == "mug" else [], dtype=np.int64)

    def at_path(self, asked: str, is_file: bool) -> Any:
        return np.array([0] if asked == "a.jpg" and not is_file else [], dtype=np.int64)

    def named(self, asked: str) -> Any:
        if asked != "a.jpg":
            raise UsageError(f"nothing is called {asked}")
        return np.array([0]), None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_stored_vector_that_is_not_finite_is_named(bad: float) -> None:
    shelf: Any = Shelf([[bad, 0]])
    with pytest.raises(CannotRun, match="NaN or infinite"):
        query_inputs.indexed("a.jpg", shelf, shelf)


def test_vectors_are_one_or_several_of_unit_length(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[3, 4], [0, 2]], np.float64))
    (tmp_path / "v.json").write_bytes(b"\xef\xbb\xbf[3, 4]")
    first = query_inputs.vectors(tmp_path / "v.npy", 2)
    assert [one.name for one in first] == [f"{tmp_path}/v.npy:0", f"{tmp_path}/v.npy:1"]
    for given in (tmp_path / "v.json", str(tmp_path / "v.json"), np.array([30, 40]), np.array([[3e30, 4e30]])):
        (one,) = query_inputs.vectors(given, 2)
        assert one.vector is not None and one.vector.tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("bad", [[np.nan, 1], [np.inf, 1], [0, 0], [1e300, 1]])
def test_a_vector_that_is_zero_or_not_finite_is_refused(tmp_path: Path, bad: list[float]) -> None:
    rows = np.array([[1, 0], bad])
    np.save(tmp_path / "v.npy", rows)
    (tmp_path / "v.json").write_text(json.dumps(rows.tolist()))
    for given in (rows, tmp_path / "v.npy", tmp_path / "v.json"):
        with pytest.raises(CannotRun, match="in row 1"):
            query_inputs.vectors(given, 2)


def test_what_holds_no_vectors_is_an_error_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "complex.npy", np.array([1j, 2]))
    np.savez(tmp_path / "other.npz", other=np.ones(2))
    (tmp_path / "huge.npy").write_bytes(
        np.lib.format.magic(1, 0) + _header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }")
    )
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "text.npy").write_text("hello")
    (tmp_path / "ragged.json").write_text("[[1, 2], [3]]")
    (tmp_path / "folder.npy").mkdir()
    os.mkfifo(tmp_path / "pipe.npy")
    for name in [*(file.name for file in tmp_path.iterdir()), "missing.npy", "a\0b.npy", "x" * 304]:
        with pytest.raises(CannotRun) as caught:
            query_inputs.vectors(tmp_path / name, 2)
        assert "--vector" in caught.value.hint, name
    monkeypatch.setattr(query_inputs, "_MOST_JSON", 3)
    (tmp_path / "long.json").write_text("[1, 2]")
    with pytest.raises(CannotRun, match="larger than 3 bytes"):
        query_inputs.vectors(tmp_path / "long.json", 2)


def _header(text: str) -> bytes:
    return len(text).to_bytes(2, "little") + text.encode()
