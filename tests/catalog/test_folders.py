"""Folders of products as people have them."""

import os
from pathlib import Path

import pytest

from dmlcli.catalog import Catalog, find_images, open_catalog
from dmlcli.errors import CatalogError
from tests.conftest import encoded, photo, place

PNG = encoded(photo(0))


def found(catalog: Catalog) -> list[tuple[str, str, str]]:
    return [(item.path, item.product, item.category) for item in catalog.items]


def test_the_last_folder_is_the_product_and_those_above_the_category(tmp_path: Path) -> None:
    place(tmp_path, "mug/1.png", "tea/pot/1.png", "fruit/apple/gala/1.png", "loose.png")
    assert sorted(found(open_catalog(tmp_path))) == [
        ("fruit/apple/gala/1.png", "gala", "fruit/apple"),
        ("loose.png", "", ""),
        ("mug/1.png", "mug", ""),
        ("tea/pot/1.png", "pot", "tea"),
    ]


def test_an_image_suffix_is_taken_at_its_word_and_other_files_are_looked_into(tmp_path: Path) -> None:
    """A million files need not be opened to be listed: whoever decodes them says what they are."""
    place(tmp_path, "mug/photo.txt", "mug/none")
    place(tmp_path, "mug/readme.txt", data=b"hello")
    place(tmp_path, "mug/broken.jpg", data=b"<html>not found</html>")
    place(tmp_path, "mug/empty.JPG", data=b"")
    names = {item.path for item in open_catalog(tmp_path).items}
    assert names == {"mug/photo.txt", "mug/none", "mug/broken.jpg", "mug/empty.JPG"}


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    place(tmp_path, "mug/1.png", "mug/._1.png", ".dmlcli/x/1.png", "mug/.thumbnails/1.png")
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]


def test_links_that_go_round_are_refused_and_said_so(tmp_path: Path) -> None:
    place(tmp_path, "mug/1.png", "all/pot/1.png")
    (tmp_path / "mug" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "best").symlink_to(tmp_path / "all", target_is_directory=True)
    with pytest.warns(UserWarning, match="skipped 2 links to folders that were already read: best, mug/up"):
        catalog = open_catalog(tmp_path)
    assert {item.path for item in catalog.items} == {"all/pot/1.png", "mug/1.png"}


def test_links_to_elsewhere_are_followed(tmp_path: Path) -> None:
    place(tmp_path, "shop/mug/1.png", "elsewhere/2.png")
    (tmp_path / "shop" / "pot").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "shop" / "mug" / "2.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    assert found(open_catalog(tmp_path / "shop")) == [
        ("mug/1.png", "mug", ""),
        ("mug/2.png", "mug", ""),
        ("pot/2.png", "pot", ""),
    ]


def test_what_is_called_an_image_and_is_no_file_is_listed_and_never_opened(tmp_path: Path) -> None:
    """Opening a FIFO would wait for ever."""
    place(tmp_path, "mug/1.png", "mug/folder.png/2.png")
    os.mkfifo(tmp_path / "mug" / "pipe.png")
    os.mkfifo(tmp_path / "mug" / "pipe")
    (tmp_path / "mug" / "self.png").symlink_to(tmp_path / "mug" / "self.png")
    (tmp_path / "mug" / "gone.png").symlink_to(tmp_path / "nowhere")
    catalog = open_catalog(tmp_path)
    assert [item.path for item in catalog.items] == ["mug/1.png", "mug/folder.png/2.png"]
    assert {Path(skipped.path).name: skipped.reason for skipped in catalog.skipped} == {
        "pipe.png": "not a regular file",
        "self.png": "a circular link",
        "gone.png": "a broken link",
    }


def test_names_of_any_bytes_are_read(tmp_path: Path) -> None:
    for name in (b"caf\xe9.png", b"two\nlines.png", "größe 😀.png".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(PNG)
    names = {os.fsencode(item.path) for item in open_catalog(tmp_path).items}
    assert names == {b"caf\xe9.png", b"two\nlines.png", "größe 😀.png".encode()}


def test_the_order_is_always_the_same(tmp_path: Path) -> None:
    place(tmp_path, "b/2.png", "a/1.png", "b/1.png", "a/c/1.png")
    assert [item.path for item in open_catalog(tmp_path).items] == ["a/1.png", "a/c/1.png", "b/1.png", "b/2.png"]


def test_train_and_test_folders_are_splits(tmp_path: Path) -> None:
    place(tmp_path, "train/mug/1.png", "test/fruit/kiwi/1.png")
    items = open_catalog(tmp_path).items
    assert [(item.product, item.category, item.split) for item in items] == [
        ("kiwi", "fruit", "test"),
        ("mug", "", "train"),
    ]


def test_products_called_like_splits_are_products(tmp_path: Path) -> None:
    place(tmp_path, "train/1.png", "test/1.png")
    assert {(item.product, item.split) for item in open_catalog(tmp_path).items} == {("train", ""), ("test", "")}


def test_the_folders_of_splits_may_hold_images_without_a_product(tmp_path: Path) -> None:
    place(tmp_path, "train/mug/1.png", "test/2.png")
    assert [(item.product, item.split) for item in open_catalog(tmp_path).items] == [("", "test"), ("mug", "train")]
    assert [item.path for item in open_catalog(tmp_path, for_training=True).items] == ["train/mug/1.png"]


def test_photos_in_one_folder_have_no_product(tmp_path: Path) -> None:
    place(tmp_path, "1.png", "with space.png")
    assert found(open_catalog(tmp_path)) == [("1.png", "", ""), ("with space.png", "", "")]


def test_a_product_in_two_categories_is_one_and_said_so(tmp_path: Path) -> None:
    place(tmp_path, "kitchen/mug/1.png", "office/mug/1.png")
    with pytest.warns(UserWarning, match="product 'mug' is in 2 categories"):
        catalog = open_catalog(tmp_path)
    assert {item.product for item in catalog.items} == {"mug"}


def test_what_is_no_catalog_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(CatalogError) as caught:
            open_catalog(path)
        assert caught.value.hint


def test_find_images_looks_into_folders_and_takes_files_as_they_are(tmp_path: Path) -> None:
    place(tmp_path, "in/1.png", "in/deep/2.png", "in/.hidden.png")
    place(tmp_path, "in/note.txt", data=b"x")
    single = tmp_path / "note.jpg"
    assert list(find_images(tmp_path / "in")) == [tmp_path / "in/1.png", tmp_path / "in/deep/2.png"]
    assert list(find_images(single)) == [single]
