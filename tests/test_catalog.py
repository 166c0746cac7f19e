"""Folders and tables of products as people have them, and splits that are kept apart."""

import os
from pathlib import Path

import pytest

from dmlcli.catalog import Catalog, Columns, Item, find_images, open_catalog, split_for_training
from dmlcli.errors import CatalogError, UsageError
from tests.conftest import encoded, make_shop, photo

PNG = encoded(photo(0))


def place(root: Path, *paths: str, data: bytes = PNG) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def table(root: Path, text: str, name: str = "photos.csv", encoding: str = "utf-8") -> Path:
    file = root / name
    file.write_text(text, encoding=encoding)
    return file


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


def test_files_are_known_by_content_and_not_by_suffix(tmp_path: Path) -> None:
    place(tmp_path, "mug/photo.txt", "mug/none", "mug/wrong.jpg")
    place(tmp_path, "mug/readme.txt", data=b"hello")
    place(tmp_path, "mug/broken.jpg", data=b"<html>not found</html>")
    place(tmp_path, "mug/empty.JPG", data=b"")
    catalog = open_catalog(tmp_path)
    assert {item.path for item in catalog.items} == {"mug/photo.txt", "mug/none", "mug/wrong.jpg"}
    assert {Path(skipped.path).name: skipped.reason for skipped in catalog.skipped} == {
        "broken.jpg": "not an image inside",
        "empty.JPG": "the file is empty",
    }


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    place(tmp_path, "mug/1.png", "mug/._1.png", ".dmlcli/x/1.png", "mug/.thumbnails/1.png")
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]


def test_links_that_go_round_end(tmp_path: Path) -> None:
    place(tmp_path, "mug/1.png")
    (tmp_path / "mug" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]


def test_a_link_to_itself_stops_nothing(tmp_path: Path) -> None:
    place(tmp_path, "mug/1.png")
    (tmp_path / "mug" / "self").symlink_to(tmp_path / "mug" / "self")
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]


def test_a_fifo_is_never_opened(tmp_path: Path) -> None:
    """Opening one would wait for ever."""
    place(tmp_path, "mug/1.png")
    os.mkfifo(tmp_path / "mug" / "pipe.png")
    assert [item.path for item in open_catalog(tmp_path).items] == ["mug/1.png"]


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


def test_a_product_in_two_categories_is_one_and_said_so(tmp_path: Path) -> None:
    place(tmp_path, "kitchen/mug/1.png", "office/mug/1.png")
    with pytest.warns(UserWarning, match="product 'mug' lies in 2 categories"):
        catalog = open_catalog(tmp_path)
    assert {item.product for item in catalog.items} == {"mug"}


def test_what_is_no_catalogue_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(CatalogError) as caught:
            open_catalog(path)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "filename,label,super_class,split,camera,price\n1.png,mug,cups,train,c1,9.5\n"),
        ("a.tsv", "filename\tlabel\tsuper_class\tsplit\tcamera\tprice\n1.png\tmug\tcups\ttrain\tc1\t9.5\n"),
        ("a.csv", "price;filename;label;super_class;split;camera\n9.5;1.png;mug;cups;train;c1\n"),
        ("a.csv", "Filename,Label,Super Class,SPLIT,Camera,price\r\n1.png, mug ,cups,train,c1,9.5\r\n"),
        (
            "a.csv",
            '"filename","label","super_class","split","camera","price"\n"1.png","mug","cups","train","c1","9.5"\n',
        ),
    ],
)
def test_tables_with_the_usual_columns_need_no_options(tmp_path: Path, name: str, text: str) -> None:
    place(tmp_path, "1.png")
    (item,) = open_catalog(table(tmp_path, text, name)).items
    assert item == Item("1.png", "mug", "cups", "train", "c1", (("price", "9.5"),))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    place(tmp_path, "1.png")
    (item,) = open_catalog(table(tmp_path, "image,product\n1.png,mug\n", encoding="utf-8-sig")).items
    assert (item.path, item.product) == ("1.png", "mug")


def test_a_table_may_have_one_column_only(tmp_path: Path) -> None:
    place(tmp_path, "1.png", "2.png")
    assert [item.path for item in open_catalog(table(tmp_path, "image\n1.png\n2.png\n")).items] == ["1.png", "2.png"]


def test_columns_are_named_by_options(tmp_path: Path) -> None:
    place(tmp_path / "photos", "1.png")
    file = table(tmp_path, "picture,sku,aisle,part,who,product\n1.png,007,3,test,ann,a mug\n")
    columns = Columns("picture", "sku", "aisle", "part", "who")
    catalog = open_catalog(file, columns, tmp_path / "photos")
    assert catalog.items == [Item("1.png", "007", "3", "test", "ann", (("product", "a mug"),))]
    assert catalog.root == tmp_path / "photos"


def test_values_stay_as_they_were_typed(tmp_path: Path) -> None:
    """No number, date or NA is made of a product code."""
    place(tmp_path, *(f"{n}.png" for n in range(4)))
    file = table(tmp_path, "image,product\n0.png,007\n1.png,1e5\n2.png,NA\n3.png,1.50\n")
    assert [item.product for item in open_catalog(file).items] == ["007", "1e5", "NA", "1.50"]


def test_a_misspelt_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    place(tmp_path, "1.png")
    file = table(tmp_path, "image,sku\n1.png,7\n")
    with pytest.raises(UsageError, match="no column 'sko'") as caught:
        open_catalog(file, Columns(product="sko"))
    assert "sku" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("sku,name\n1,2\n", "no column of image paths"),
        ("image,product\nnowhere.png,mug\n", "none of the 1 images"),
        ('image,product\n"1.png,mug\n', ""),
    ],
)
def test_tables_that_cannot_serve_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message or None):
        open_catalog(table(tmp_path, text))


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_bytes(PNG)
    with pytest.raises(CatalogError):
        open_catalog(tmp_path / "photos.csv")


def test_find_images_looks_into_folders_and_takes_files_as_they_are(tmp_path: Path) -> None:
    place(tmp_path, "in/1.png", "in/deep/2.png", "in/.hidden.png")
    place(tmp_path, "in/note.txt", data=b"x")
    single = tmp_path / "note.jpg"
    assert list(find_images(tmp_path / "in")) == [tmp_path / "in/1.png", tmp_path / "in/deep/2.png"]
    assert list(find_images(single)) == [single]


def catalog_of(*rows: tuple[str, str]) -> Catalog:
    return Catalog(Path(), [Item(str(n), product, split=split) for n, (product, split) in enumerate(rows)])


def test_training_is_not_given_the_test_split() -> None:
    catalog = catalog_of(("a", "train"), ("a", "test"), ("b", "val"), ("b", "query"), ("c", "gallery"), ("d", ""))
    assert [item.split for item in catalog.without_test().items] == ["train", "val", ""]


def test_a_misspelt_split_is_answered_with_the_nearest() -> None:
    catalog = catalog_of(("a", "train"), ("a", "test"))
    assert [item.split for item in catalog.only("test").items] == ["test"]
    assert catalog.only(None) is catalog
    with pytest.raises(UsageError, match="split 'trian'") as caught:
        catalog.only("trian")
    assert "train" in caught.value.hint


def test_whole_products_are_held_out(tmp_path: Path) -> None:
    catalog = open_catalog(make_shop(tmp_path, products=25, images=2))
    split = split_for_training(catalog, seed=3)
    fitted = {catalog.items[row].product for row in split.fit}
    assert len(split.held_out) == 5 and not fitted & set(split.held_out)
    assert sorted(split.fit + split.queries) == list(range(50)) and split.queries == split.gallery
    assert split_for_training(catalog, seed=3) == split != split_for_training(catalog, seed=4)


def test_products_with_one_image_are_fitted_on_and_never_held_out() -> None:
    catalog = catalog_of(*[(f"single{n}", "") for n in range(30)], *[(f"pair{n // 2}", "") for n in range(40)])
    split = split_for_training(catalog, seed=0)
    assert len(split.held_out) == 4 and all(product.startswith("pair") for product in split.held_out)
    assert len(split.fit) == 62


def test_images_without_product_are_not_trained_on() -> None:
    catalog = catalog_of(("a", ""), ("a", ""), ("b", ""), ("", ""))
    assert split_for_training(catalog, seed=0).fit == [0, 1, 2]


def test_the_split_column_says_what_is_fitted_and_validated() -> None:
    catalog = catalog_of(("a", "train"), ("b", "train"), ("a", "val"), ("b", "test"), ("c", "val"), ("b", "val"))
    split = split_for_training(catalog, seed=0)
    assert (split.fit, split.queries, split.gallery, split.held_out) == ([0, 1], [2, 5], [0, 1], [])


def test_new_products_in_val_are_searched_among_themselves() -> None:
    catalog = catalog_of(("a", "train"), ("b", "train"), ("c", "val"), ("c", "val"), ("d", "val"))
    split = split_for_training(catalog, seed=0)
    assert (split.fit, split.queries, split.gallery, split.held_out) == ([0, 1], [2, 3, 4], [2, 3, 4], ["c", "d"])


@pytest.mark.parametrize("rows", [[("a", ""), ("a", "")], [("", ""), ("", "")], [("a", "test"), ("b", "test")]])
def test_training_needs_two_products(rows: list[tuple[str, str]]) -> None:
    with pytest.raises(CatalogError, match="at least two products"):
        split_for_training(catalog_of(*rows), seed=0)
