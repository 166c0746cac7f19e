"""Why a path is not there: a reason and a hint of its own for each cause."""

import os
from pathlib import Path

import pytest

from dmlcli.catalog import open_catalog
from dmlcli.errors import CatalogError, MissingError
from dmlcli.image import status_of
from dmlcli.missing import why_missing
from tests.conftest import place


@pytest.mark.parametrize(
    ("name", "reason", "hint"),
    [
        ("https://shop.example/mug/0.jpg", "it is a URL", "download"),
        ("s3://bucket/0.jpg", "it is a URL", "download"),
        ("C:\\photos\\0.jpg", "Windows path", "--root"),
        ("mug/0.JPG", "case differs", "0.jpg"),
        ("Mug/0.jpg", "case differs", "write 'mug'"),
        ("mug/0", "lacks a suffix: the folder has 0.jpg", "suffix"),
        ("mug/0.png", "suffix differs: the folder has 0.jpg", "0.jpg"),
        ("mug\\0.jpg", "backslashes", "/"),
        ("mug/0.jpg, mug/1.jpg", "several paths in one cell", "its own row"),
        ("mug/" + "0.jpg, mug/" * 100 + "1.jpg", "several paths in one cell", "its own row"),
        ('mug/"0.jpg"', "quotation marks", "0.jpg"),
        ("mug/my%20cup.jpg", "percent-encoded", "my cup.jpg"),
        ("mug/cafe\u0301.jpg", "accent", "caf\u00e9.jpg"),
        ("mug/frnt-view.jpg", "file not found", "did you mean front-view.jpg?"),
        ("mug/other.jpg", "not found in the folder", "--root"),
        ("pot/0.jpg", "folder 'pot' not found", "--root"),
        ("empty/0.jpg", "is empty", "mounted"),
        ("link.jpg", "a link to /nowhere", "target"),
        ("loop.jpg", "circular link", "delete"),
        ("mug/0.jpg/1.jpg", "is a file, not a folder", ""),
        ("mug", "it is a folder", "files inside"),
        ("mug/page.jpg", "web page", "download"),
        ("mug/lfs.jpg", "Git LFS", "git lfs pull"),
        ("mug/hollow.jpg", "the file is empty", "again"),
        ("mug/a\0b.jpg", "invalid file name", ""),
    ],
)
def test_each_cause_has_its_own_reason(tmp_path: Path, name: str, reason: str, hint: str) -> None:
    place(tmp_path, "mug/0.jpg", "mug/1.jpg", "mug/front-view.jpg", "mug/my cup.jpg", "mug/caf\u00e9.jpg")
    place(tmp_path, "mug/page.jpg", data=b"<!DOCTYPE html><html>")
    place(tmp_path, "mug/lfs.jpg", data=b"version https://git-lfs.github.com/spec/v1\n")
    place(tmp_path, "mug/hollow.jpg", data=b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.jpg").symlink_to("/nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    found = why_missing(tmp_path / name)
    assert reason in found[0] and hint in found[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_entered_is_named(tmp_path: Path) -> None:
    place(tmp_path, "mug/0.jpg")
    (tmp_path / "mug").chmod(0)
    assert why_missing(tmp_path / "mug" / "0.jpg")[0] == f"no permission to read {tmp_path / 'mug'}"
    (tmp_path / "mug").chmod(0o755)


def test_a_catalog_of_missing_images_and_a_single_one_say_why(tmp_path: Path) -> None:
    place(tmp_path, "mug/0.jpg")
    (tmp_path / "photos.csv").write_text("image\nmug/0.JPG\n")
    with pytest.raises(CatalogError, match=r"none of the 1 images .* is mug/0\.JPG: the letters' case differs"):
        open_catalog(tmp_path / "photos.csv")
    with pytest.raises(MissingError, match="the letters' case differs"):
        status_of(tmp_path / "mug" / "0.JPG")


def test_the_folder_of_root_must_exist(tmp_path: Path) -> None:
    place(tmp_path, "mug/0.jpg")
    (tmp_path / "photos.csv").write_text("image\n0.jpg\n")
    with pytest.raises(CatalogError, match=r"--root .*mugs is not a folder"):
        open_catalog(tmp_path / "photos.csv", root=tmp_path / "mugs")
