"""embed computes what is new or changed, and nothing else."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.embeddings import open_embeddings
from tests.conftest import Cli, encoded, photo

Embed = Callable[..., dict[str, Any]]


@pytest.fixture
def embed(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> Embed:
    """Embed the shop and return the report."""

    def call(*arguments: object) -> dict[str, Any]:
        found = cli(
            "embed", shop, "--model", plain_model, "-w", tmp_path / "w", "--quiet", "--format", "json", *arguments
        )
        assert found.code in (0, 3), found.err
        told: dict[str, Any] = json.loads(found.out)
        return told

    return call


def test_only_what_changed_is_computed(embed: Embed, shop: Path) -> None:
    told = embed()
    assert list(told) == ["schema", "output", "images", "computed", "dim", "dtype", "views", "model", "skipped"]
    assert (told["schema"], told["images"], told["computed"]) == (1, 12, 12)
    assert embed()["computed"] == 0
    (shop / "product-00" / "0.png").write_bytes(encoded(photo(77)))
    assert embed()["computed"] == 1
    os.utime(shop / "product-00" / "1.png", (5, 5))
    assert embed()["computed"] == 0
    (shop / "product-03" / "2.png").unlink()
    assert embed()["images"] == 11


def test_an_npz_has_the_rows_of_the_folder(embed: Embed, shop: Path, tmp_path: Path) -> None:
    embed()
    told = embed("-o", tmp_path / "e.npz")
    assert told["computed"] == 0
    with np.load(tmp_path / "e.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"embeddings", "labels", "paths"}
        assert arrays["embeddings"].dtype == np.float32
        folder = open_embeddings(tmp_path / "w" / "embeddings")
        assert np.array_equal(arrays["embeddings"], folder.vectors)
        assert arrays["labels"].tolist() == folder.products
        assert all(Path(path).is_file() for path in arrays["paths"])


def test_unreadable_images_are_listed_and_exit_3(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    (shop / "product-00" / "cut.png").write_bytes(encoded(photo(1))[:100])
    (shop / "product-00" / "text.jpg").write_bytes(b"<html>")
    (shop / "product-00" / "empty.jpg").write_bytes(b"")
    found = cli("embed", shop, "--model", plain_model, "-w", tmp_path / "w")
    assert found.code == 3
    assert all(str(shop / "product-00" / name) in found.err for name in ("cut.png", "text.jpg", "empty.jpg"))
    assert open_embeddings(tmp_path / "w" / "embeddings").vectors.shape[0] == 12


def test_columns_and_splits_of_a_table_are_kept(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "photos.csv"
    rows = [f"product-{n:02}/0.png,sku{n},{'train' if n % 2 else 'test'},{n}.5" for n in range(4)]
    table.write_text("\n".join(["picture,sku,part,price", *rows]))
    options = ["--image-column", "picture", "--product-column", "sku", "--split-column", "part", "--root", shop]
    common = ["--model", plain_model, "-w", tmp_path / "w"]
    assert cli("embed", table, *options, *common).code == 0
    items = open_embeddings(tmp_path / "w" / "embeddings").items
    assert [item.product for item in items] == ["sku0", "sku1", "sku2", "sku3"]
    assert [(item.split, dict(item.columns)["price"]) for item in items][:2] == [("test", "0.5"), ("train", "1.5")]
    assert cli("embed", table, *options, *common, "--split", "test").code == 0
    assert len(open_embeddings(tmp_path / "w" / "embeddings").items) == 2
    found = cli("embed", table, *options, *common, "--split", "tset")
    assert found.code == 2 and "test" in found.err


def test_damaged_embeddings_are_simply_computed_again(embed: Embed, tmp_path: Path) -> None:
    embed()
    for name, data in (("vectors.npy", b""), ("items.csv", b""), ("embeddings.json", b"[]")):
        (tmp_path / "w" / "embeddings" / name).write_bytes(data)
        assert embed()["computed"] == 12, name
