"""What is fitted on, what validates, and what training never opens."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dmlcli.catalog import Catalog, Item, TrainingSplit, open_catalog, split_for_training
from dmlcli.errors import CatalogError, UsageError
from tests.conftest import Cli, make_shop, place


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


def test_images_without_product_are_not_trained_on() -> None:
    catalog = catalog_of(("a", ""), ("a", ""), ("b", ""), ("", ""))
    assert split_for_training(catalog).fit == [0, 1, 2]


def test_the_split_column_says_what_is_fitted_and_validated() -> None:
    catalog = catalog_of(("a", "train"), ("b", "train"), ("a", "val"), ("b", "test"), ("c", "val"), ("b", "val"))
    assert split_for_training(catalog) == TrainingSplit([0, 1], [2, 5])


def test_new_products_in_val_only_validate() -> None:
    catalog = catalog_of(("a", "train"), ("b", "train"), ("c", "val"), ("c", "val"), ("d", "val"))
    assert split_for_training(catalog) == TrainingSplit([0, 1], [2, 3, 4])


@pytest.mark.parametrize("rows", [[("a", ""), ("a", "")], [("", ""), ("", "")], [("a", "test"), ("b", "test")]])
def test_training_needs_two_products(rows: list[tuple[str, str]]) -> None:
    with pytest.raises(CatalogError, match="at least two products"):
        split_for_training(catalog_of(*rows))


def sealed_shop(root: Path, kind: str) -> Path:
    """Six products in train; a test split of FIFOs (opening one waits for ever) and of bytes that are no image."""
    make_shop(root / "train", products=6, images=2)
    (root / "test" / "product-00").mkdir(parents=True)
    os.mkfifo(root / "test/product-00/0.png")
    place(root, "test/product-01/1.png", data=b"poison")
    if kind == "folders":
        return root
    rows = [f"{file.relative_to(root)},{file.parent.name},{file.parts[-3]}" for file in sorted(root.rglob("*.png"))]
    (root / "photos.csv").write_text("\n".join(["image,product,split", *rows]))
    return root / "photos.csv"


@pytest.mark.parametrize("kind", ["folders", "table"])
def test_a_catalog_opened_for_training_does_not_look_at_test(kind: str, tmp_path: Path) -> None:
    catalog = sealed_shop(tmp_path / "shop", kind)
    opened: list[str] = []
    with audited(opened):
        items = open_catalog(catalog, for_training=True, strict=True).items
    assert len(items) == 12 and {item.split for item in items} == {"train"}
    assert opened and not [path for path in opened if "/shop/test" in path]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folders", "table"])
def test_training_never_opens_the_test_split(kind: str, tmp_path: Path, cli: Cli) -> None:
    """Whatever Python opens, lists or reads while it trains is seen by an audit hook."""
    catalog = sealed_shop(tmp_path / "shop", kind)
    opened: list[str] = []
    with audited(opened):
        done = cli("train", catalog, "--backbone", "descriptor", "--views", 1, "-w", tmp_path / "ws")
    assert done.code == 0, done.err
    touched = {path for path in opened if f"{tmp_path}/shop" in path}
    assert any("/train/product-00" in path for path in touched)
    assert not [path for path in touched if "/shop/test" in path]
    record = json.loads((tmp_path / "ws/model/model.json").read_text())
    assert record["products"] == [f"product-{n:02}" for n in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("column", ["", "split"])
def test_the_split_is_saved_with_the_model(tmp_path: Path, cli: Cli, column: str) -> None:
    """What the model was fitted on in the end, and what only judged it: products of split val that train has not."""
    shop = make_shop(tmp_path / "shop", products=20, images=2)
    held_out = {f"product-{n:02}" for n in range(15, 20)} if column else set()
    rows = [
        f"{file},{file.parent.name},{'val' if file.parent.name in held_out else 'train'}"
        for file in sorted(shop.rglob("*.png"))
    ]
    (tmp_path / "photos.csv").write_text("\n".join([f"image,product,{column or 'note'}", *rows]))
    done = cli("train", tmp_path / "photos.csv", "--backbone", "descriptor", "--views", 1, "-w", tmp_path / "ws")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "ws/model/model.json").read_text())
    assert set(record["held_out"]) == held_out
    assert sorted(record["products"] + record["held_out"]) == [f"product-{n:02}" for n in range(20)]


_listeners: list[list[str]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if _listeners and event in ("open", "os.listdir", "os.scandir"):
        _listeners[-1].append(str(arguments[0]))


@contextmanager
def audited(opened: list[str]) -> Iterator[None]:
    """Take down every path that is opened or listed; a hook cannot be taken away again, so it goes deaf instead."""
    if not hasattr(audited, "hooked"):
        sys.addaudithook(_hear)
        audited.hooked = True  # type: ignore[attr-defined]
    _listeners.append(opened)
    try:
        yield
    finally:
        _listeners.pop()
