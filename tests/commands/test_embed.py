"""embed computes what is new or changed, and nothing else."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.embeddings import open_embeddings
from tests.conftest import Cli, Mission, encoded, photo, process

Embed = Callable[..., dict[str, Any]]


@pytest.fixture
def embed(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> Embed:
    """Embed the shop and return the report."""

    def call(*arguments: object) -> dict[str, Any]:
        found = cli(
            "embed", shop, "--model", plain_model, "-w", tmp_path / "w", "--quiet", "--format", "json", *arguments
        )
        assert found.code in (0, 3), found.err
        report: dict[str, Any] = json.loads(found.out)
        return report

    return call


def test_only_what_changed_is_computed(embed: Embed, shop: Path) -> None:
    report = embed()
    assert list(report) == ["schema", "output", "images", "computed", "dim", "dtype", "views", "model", "skipped"]
    assert (report["schema"], report["images"], report["computed"]) == (1, 12, 12)
    assert embed()["computed"] == 0
    (shop / "product-00" / "0.png").write_bytes(encoded(photo(77)))
    assert embed()["computed"] == 1
    os.utime(shop / "product-00" / "1.png", (5, 5))
    assert embed()["computed"] == 0
    (shop / "product-03" / "2.png").unlink()
    assert embed()["images"] == 11


def test_an_npz_has_the_rows_of_the_folder(embed: Embed, shop: Path, tmp_path: Path) -> None:
    embed()
    report = embed("-o", tmp_path / "e.npz")
    assert report["computed"] == 0
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


def test_pictures_above_the_limit_are_listed_with_the_option_that_raises_it(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path
) -> None:
    (shop / "product-00" / "large.png").write_bytes(encoded(photo(1, size=(300, 200))))
    command = ["embed", shop, "--model", plain_model, "-w", tmp_path / "w"]
    found = cli(*command, "--max-pixels", 59_999)
    assert found.code == 3 and "300 x 200 pixels are more than the limit of 59,999" in found.err
    assert "large.png" in found.err
    assert cli(*command).code == 0


def test_lists_are_embedded_in_their_order(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    files = [shop / "product-02" / "1.png", shop / "product-00" / "0.png"]
    (tmp_path / "list").write_bytes(b"\0".join(os.fsencode(file) for file in files))
    common = ["--model", plain_model, "-w", tmp_path / "w", "-o", tmp_path / "e.npz"]
    assert cli("embed", "--files-from", tmp_path / "list", "--null", *common).code == 0
    assert [item.path for item in open_embeddings(tmp_path / "e.npz").items] == [str(file) for file in files]
    assert cli("embed", *files, *common).code == 0
    assert [item.path for item in open_embeddings(tmp_path / "e.npz").items] == [str(file) for file in files]


def test_an_image_on_stdin_is_what_it_is_as_a_file(shop: Path, mission: Mission, tmp_path: Path) -> None:
    file = shop / "product-02" / "1.png"
    common = ["--model", mission.workspace / "model", "-w", tmp_path / "w"]
    done = process("embed", "-", "-o", "v.npy", *common, cwd=tmp_path, stdin=file.read_bytes())
    assert done.returncode == 0, done.stderr
    assert process("embed", file, "-o", "f.npy", *common, cwd=tmp_path).returncode == 0
    assert np.allclose(np.load(tmp_path / "v.npy"), np.load(tmp_path / "f.npy"), atol=1e-6)
    refused = process("embed", "-", *common, cwd=tmp_path, stdin=file.read_bytes())
    assert refused.returncode == 2 and b"-o vector.npy" in refused.stderr


@pytest.mark.parametrize("average", ["flip", "crops"])
def test_averaged_views_are_recorded_and_an_update_keeps_to_them(
    cli: Cli, embed: Embed, shop: Path, plain_model: Path, tmp_path: Path, average: str
) -> None:
    embed()
    plain = open_embeddings(tmp_path / "w" / "embeddings").vectors.copy()
    assert embed("--average", average)["views"] == average
    made = open_embeddings(tmp_path / "w" / "embeddings")
    assert made.views == average and np.allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    alike = (made.vectors * plain).sum(axis=1)
    assert alike.min() > 0.5 and alike.min() < 0.99999
    assert embed("--average", average)["computed"] == 0
    assert cli("index", "--model", plain_model, "-w", tmp_path / "w").code == 0
    report = cli("index", shop, "--update", "--model", plain_model, "-w", tmp_path / "w")
    assert report.code == 0 and "0 added, 0 removed" in report.out
    hits = cli("query", shop / "product-01" / "0.png", "-w", tmp_path / "w", "-k", 1).out
    assert hits.split("\t")[3] == "product-01"


@pytest.mark.parametrize("suffix", ["npy", "jsonl", "parquet"])
def test_other_formats_are_written_and_indexed(cli: Cli, embed: Embed, tmp_path: Path, suffix: str) -> None:
    embed("-o", tmp_path / f"e.{suffix}", "--dtype", "float16")
    found = cli("index", tmp_path / f"e.{suffix}", "-w", tmp_path / "x", "-o", tmp_path / "i")
    assert found.code == 0 and "12 images" in found.out
    embed("-o", tmp_path / "clip", "--layout", "clip-retrieval")
    assert cli("eval", tmp_path / "clip").code == 0


@pytest.mark.parametrize("name", ["e.npz", "e.npy", "e.jsonl", "e"])
def test_a_list_without_one_image_keeps_the_old_file(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    command = ("--model", plain_model, "-w", tmp_path / "w", "-o", target)
    assert cli("embed", shop, *command).code == 0
    before = open_embeddings(target)
    (tmp_path / "list").write_text("gone-1.jpg\ngone-2.jpg\n")
    done = cli("embed", "--files-from", tmp_path / "list", *command)
    assert done.code == 4 and "none of the 2 images could be embedded" in done.err and "gone-1.jpg" in done.err
    assert "and 1 more" in done.err
    after = open_embeddings(target)
    assert after.items == before.items and len(after.items) == 12
