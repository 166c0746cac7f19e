"""Much that is gone at once is asked for first; what was removed is kept for a while."""

import numpy as np
import pytest

from dmlcli.embeddings import missing_images
from dmlcli.errors import CannotRun


def images(*folders: str, count: int = 16) -> list[missing_images.Image]:
    return [(f"{folder}/{number}.png", f"{folder}{number}") for folder in folders for number in range(count)]


def test_an_unmounted_disk_is_reported() -> None:
    before = images("disk1/a", "disk2/a", "disk2/b", "disk2/c")
    with pytest.raises(CannotRun) as caught:
        missing_images.check(before, before[:16], "the index in i")
    assert "48 of the 64 images of the index in i" in str(caught.value) and "all 48 of disk2" in str(caught.value)
    assert "--prune" in caught.value.hint


@pytest.mark.parametrize("gone, refused", [(4, False), (5, True)])
def test_more_than_a_fifth_needs_confirmation(gone: int, refused: bool) -> None:
    before = images("a", count=20)
    if not refused:
        missing_images.check(before, before[gone:], "it")
        return
    with pytest.raises(CannotRun, match=r"5 of the 20 images of it .*: a/0\.png, a/1\.png, a/2\.png"):
        missing_images.check(before, before[gone:], "it")


def test_a_whole_folder_needs_confirmation_however_small() -> None:
    before = images(*"abcdefgh", count=10)
    with pytest.raises(CannotRun, match="all 10 of c"):
        missing_images.check(before, [image for image in before if not image[0].startswith("c/")], "it")


def test_one_photo_alone_in_its_folder_is_no_whole_folder() -> None:
    before = images(*"abcdefghij", count=1)
    missing_images.check(before, before[1:], "it")


def test_images_without_folders_have_no_whole_folder() -> None:
    before = [(f"{number}.png", str(number)) for number in range(10)]
    missing_images.check(before, before[1:], "it")


def test_a_folder_that_was_renamed_is_not_gone() -> None:
    before = images("a", "b")
    missing_images.check(before, [(path.replace("a/", "c/"), mark) for path, mark in before], "it")


def test_a_photo_with_new_content_is_not_gone() -> None:
    before = images("a", "b")
    missing_images.check(before, [(path, mark + "new") for path, mark in before], "it")


def test_a_long_list_of_folders_is_cut() -> None:
    before = images(*(str(np.base_repr(number, 36)) for number in range(10, 20)))
    with pytest.raises(CannotRun, match="all 16 of A, all 16 of B, all 16 of C, 7 more folders"):
        missing_images.check(before, [("x", "y")], "it")
