"""Several catalogs as one: products of the same name stay apart, unless they are the same ones."""

from pathlib import Path

import pytest

from dmlcli import progress
from dmlcli.catalog import Catalog, open_catalog, open_catalogs, split_for_training
from dmlcli.errors import UsageError
from dmlcli.learn.validation.folds import validation_splits
from tests.conftest import encoded, make_shop, photo


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(progress, "note", found.append)
    return found


def shops(root: Path, *names: str, products: int = 3) -> list[Path]:
    return [make_shop(root / name, products, 4) for name in names]


def table(file: Path, rows: list[str], header: str = "path,product,split,source") -> Path:
    for row in rows:
        image = file.parent / row.split(",")[0]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(encoded(photo(len(row))))
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def products(catalog: Catalog) -> set[str]:
    return {item.product for item in catalog.items}


def test_one_catalog_is_as_it_is_alone(tmp_path: Path, notes: list[str]) -> None:
    (shop,) = shops(tmp_path, "shop")
    assert open_catalogs([shop]) == open_catalog(shop) and not notes
    with pytest.raises(UsageError, match="--merge-products needs several"):
        open_catalogs([shop], merge_products=True)


def test_products_of_one_name_are_two_and_the_others_keep_their_names(tmp_path: Path, notes: list[str]) -> None:
    studio, phone = shops(tmp_path, "studio", "phone")
    (phone / "product-02").rename(phone / "lamp")
    both = open_catalogs([studio, phone])
    assert products(both) == {
        "studio/product-00", "phone/product-00", "studio/product-01", "phone/product-01", "product-02", "lamp",
    }  # fmt: skip
    assert len(both.items) == 24 and all(both.photo(item).path.is_file() for item in both.items)
    (note,) = notes
    assert note.startswith("2 product names are in several catalogs (product-00, product-01)") and "studio/prod" in note


def test_merged_products_have_the_photos_of_all_catalogs(tmp_path: Path, notes: list[str]) -> None:
    both = open_catalogs(shops(tmp_path, "studio", "phone"), merge_products=True)
    assert products(both) == {"product-00", "product-01", "product-02"} and len(both.items) == 24
    assert sum(item.product == "product-00" for item in both.items) == 8 and "the same products" in notes[0]


def test_catalogs_of_one_name_take_those_of_the_folders_above(tmp_path: Path, notes: list[str]) -> None:
    both = open_catalogs(shops(tmp_path, "a/photos", "b/photos", products=1))
    assert products(both) == {"a/photos/product-00", "b/photos/product-00"}
    files = [table(tmp_path / name, [f"{name}.d/1.png,mug,,"]) for name in ("one.csv", "two.csv")]
    assert products(open_catalogs(files)) == {"one/mug", "two/mug"}


def test_photos_without_a_split_are_trained_on_beside_those_with_one(tmp_path: Path, notes: list[str]) -> None:
    """A split that only one catalog has would otherwise leave the other one out."""
    rows = [f"p/{n}.png,mug-{n % 4},{'val' if n > 5 else 'test' if n > 7 else 'train'}," for n in range(8)]
    split, (plain,) = table(tmp_path / "split.csv", rows), shops(tmp_path, "plain")
    both = open_catalogs([split, plain], for_training=True)
    fit = [both.items[row] for row in split_for_training(both).fit]
    assert {item.product for item in fit} == {
        "mug-0",
        "mug-1",
        "mug-2",
        "mug-3",
        "product-00",
        "product-01",
        "product-02",
    }
    assert {item.split for item in open_catalogs(shops(tmp_path, "x", "y")).items} == {""}


def test_sources_of_one_name_are_two(tmp_path: Path, notes: list[str]) -> None:
    """Else products that share nothing would be held out together."""
    files = [
        table(
            tmp_path / f"{name}.csv", [f"{name}/{n}.png,{name}-{n % 5},,{'day' if n < 3 else name}" for n in range(10)]
        )
        for name in ("one", "two")
    ]
    both = open_catalogs(files)
    assert {item.source for item in both.items} == {"one/day", "two/day", "one", "two"}


def test_folds_never_hold_out_one_catalogs_product_by_the_name_of_another(tmp_path: Path, notes: list[str]) -> None:
    both = open_catalogs(shops(tmp_path, "one", "two", products=8))
    for fold in validation_splits(both.items, split_for_training(both), "both", 0):
        fitted = {both.items[row].product for row in fold.fit}
        assert not fitted & {both.items[row].product for row in fold.searches["unseen"].queries}
    assert len(products(both)) == 16


def test_a_photo_is_in_one_catalog_only(tmp_path: Path, notes: list[str]) -> None:
    (shop,) = shops(tmp_path, "shop")
    with pytest.raises(UsageError, match="named twice"):
        open_catalogs([shop, shop / "." / "product-00" / ".."])
    with pytest.raises(UsageError, match=r"listed twice .* shop/|listed twice"):
        open_catalogs([shop, shop / "product-00" / ".." / "product-00"])
