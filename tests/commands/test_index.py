"""index makes a catalog or embeddings searchable."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import dmlcli
from dmlcli import embeddings, indexes
from dmlcli.model import open_model
from tests.conftest import SAMPLE, Cli, Mission, encoded, make_shop, photo


def test_a_catalog_is_indexed_and_found(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    found = cli("index", shop, "--model", plain_model, "-w", place, "--format", "json")
    report = json.loads(found.out)
    keys = "schema output images products dim kind model recall microseconds memory why added removed skipped parity"
    assert list(report) == keys.split()
    assert (report["images"], report["products"], report["skipped"]) == (12, 4, [])
    rows = cli("query", shop / "product-01" / "2.png", "-w", place, "-k", 2, "--by", "image").out.splitlines()
    assert rows[0].split("\t")[2:4] == ["1.000000", "product-01"] and rows[1].split("\t")[3] == "product-01"


def test_indexing_again_follows_the_catalog(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    common = ["--model", plain_model, "-w", tmp_path / "w"]
    cli("index", shop, *common)
    (shop / "product-04").mkdir()
    (shop / "product-04" / "0.png").write_bytes(encoded(photo(4)))
    (shop / "product-00" / "0.png").unlink()
    assert cli("index", shop, *common).code == 0
    hits = cli(
        "query", shop / "product-04" / "0.png", "-w", tmp_path / "w", "-k", 100, "--by", "image"
    ).out.splitlines()
    assert len(hits) == 12 and hits[0].split("\t")[3] == "product-04"
    assert not any("product-00/0.png" in hit.split("\t")[4] for hit in hits)


def test_columns_of_a_table_are_typed_in_sqlite(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    table = shop / "photos.tsv"
    rows = [f"product-{n:02}/0.png\tmug {n}\t{n}.5\t{n}\tred" for n in range(4)]
    table.write_text("\n".join(["image\tproduct\tprice\tstock\tcolor", *rows]))
    assert cli("index", table, "--model", plain_model, "-w", tmp_path / "w").code == 0
    with closing(sqlite3.connect(tmp_path / "w" / "index" / "items.sqlite")) as opened:
        kinds = {name: kind for _, name, kind, *_ in opened.execute("PRAGMA table_info(items)")}
        assert (kinds["price"], kinds["stock"], kinds["color"]) == ("REAL(1)", "INTEGER", "TEXT")
        assert opened.execute("SELECT product FROM items WHERE price > 1 AND stock < 3").fetchall() == [
            ("mug 1",),
            ("mug 2",),
        ]


def test_embeddings_of_any_tool_are_indexed(cli: Cli, tmp_path: Path, plain_model: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(6, open_model(plain_model).record.dim))
    np.savez(tmp_path / "e.npz", embeddings=vectors, labels=np.array(list("aabbcc")))
    place = tmp_path / "w"
    assert cli("index", tmp_path / "e.npz", "-w", place, "-o", tmp_path / "i").code == 0
    picture = tmp_path / "q.png"
    picture.write_bytes(encoded(photo(1)))
    found = cli("query", picture, "--index", tmp_path / "i", "-w", place)
    assert found.code == 4 and "without a model" in found.err and "--model" in found.err
    found = cli("query", picture, "--index", tmp_path / "i", "--model", plain_model, "--by", "image")
    assert found.code == 0 and len(found.out.splitlines()) == 6


def test_vectors_of_another_length_are_reported(cli: Cli, tmp_path: Path, plain_model: Path) -> None:
    np.savez(tmp_path / "e.npz", embeddings=np.eye(3), labels=np.array(list("abc")))
    cli("index", tmp_path / "e.npz", "-w", tmp_path / "w", "-o", tmp_path / "i")
    picture = tmp_path / "q.png"
    picture.write_bytes(encoded(photo(1)))
    found = cli("query", picture, "--index", tmp_path / "i", "--model", plain_model)
    dim = open_model(plain_model).record.dim
    assert found.code == 2 and f"the query has {dim} dimensions, the index 3\n" in found.err


def test_a_damaged_model_is_reported_and_not_replaced(workspace: Path, mission: Mission, cli: Cli) -> None:
    (workspace / "model" / "model.json").write_text("{")
    found = cli("index", mission.catalog, "-w", workspace)
    assert found.code == 4 and "model.json is damaged" in found.err


def test_the_workspace_embeddings_are_indexed_by_default(workspace: Path, cli: Cli) -> None:
    before = (workspace / "index" / "items.sqlite").read_bytes()
    found = cli("index", "-w", workspace, "--format", "json")
    assert found.code == 0 and json.loads(found.out)["images"] == 100
    assert len((workspace / "index" / "items.sqlite").read_bytes()) == len(before)


def test_names_of_any_bytes_are_indexed_and_found(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    names = [b"caf\xe9.png", b"two\nlines.png", "größe 😀.png".encode()]
    odd = [os.fsdecode(os.fsencode(shop / "product-00") + b"/" + name) for name in names]
    for number, name in enumerate(odd):
        Path(name).write_bytes(encoded(photo(60 + number)))
    dmlcli.index(shop, model=plain_model, workspace=tmp_path / "w")
    answers = list(dmlcli.query(odd, top_k=1, workspace=tmp_path / "w").answers)
    assert [answer.hits[0].image for answer in answers] == odd


def test_a_product_of_any_bytes_is_indexed(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    product = os.fsdecode(b"caf\xe9")
    (shop / "product-00").rename(shop / product)
    dmlcli.index(shop, model=plain_model, workspace=tmp_path / "w")
    (answer,) = dmlcli.query([str(shop / product / "0.png")], top_k=1, workspace=tmp_path / "w").answers
    assert answer.hits[0].product == product


@pytest.mark.slow
def test_without_a_model_the_pretrained_backbone_is_searched_with(cli: Cli, shop: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    found = cli("index", shop, "-w", place)
    assert found.code == 0 and found.err.count("falling back to") == 1 and "no trained model" in found.err
    assert cli("query", shop / "product-01" / "0.png", "-w", place, "-k", 1).out.split("\t")[3] == "product-01"
    assert "is used instead" in cli("status", "-w", place).err
    assert "is used instead" not in cli("index", shop, "-w", place).err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_two_lines_without_training_work_in_an_empty_folder(tmp_path: Path) -> None:
    for product in sorted((SAMPLE / "catalog").glob("*/*"))[::6]:
        shutil.copytree(product, tmp_path / "catalog" / product.parent.name / product.name)
    name = product.name
    shutil.copy(SAMPLE / "queries" / name / "1.jpg", tmp_path / "img.jpg")
    script = f'dmlcli() {{ "{sys.executable}" -m dmlcli "$@"; }}; dmlcli index ./catalog && dmlcli query img.jpg'
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("img.jpg\t")]
    assert len(rows) == 10 and name in [row[3] for row in rows] and "created the workspace" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".dmlcli", "catalog", "img.jpg"]


def test_a_folder_of_photos_is_never_overwritten(cli: Cli, shop: Path, tmp_path: Path) -> None:
    before = sorted(shop.rglob("*"))
    found = cli("index", shop, "-o", shop, "-w", tmp_path / "w")
    assert found.code == 4 and "will not be replaced" in found.err
    assert sorted(shop.rglob("*")) == before


def vectors(file: Path, first: int, last: int) -> Path:
    rows = np.random.default_rng(0).normal(size=(600, 8))[first:last]
    paths = np.array([f"{row}.png" for row in range(first, last)])
    np.savez(file, embeddings=rows, labels=np.array(["a"] * (last - first)), paths=paths)
    return file


def test_a_kind_may_be_requested_and_an_update_keeps_it(cli: Cli, tmp_path: Path) -> None:
    common = ["-o", tmp_path / "i", "-w", tmp_path / "w", "--format", "json"]
    report = json.loads(cli("index", vectors(tmp_path / "a.npz", 0, 500), "--factory", "IVF8,Flat", *common).out)
    assert (report["kind"], report["added"], report["removed"]) == ("IVF8,Flat", 500, 0)
    assert report["recall"] >= 0.98 and report["microseconds"] > 0 and report["memory"] > 500 * 8 * 4
    report = json.loads(cli("index", vectors(tmp_path / "b.npz", 100, 600), "--update", *common).out)
    assert (report["kind"], report["images"], report["added"], report["removed"]) == ("IVF8,Flat", 500, 100, 100)


def test_a_first_update_builds(cli: Cli, tmp_path: Path) -> None:
    found = cli("index", vectors(tmp_path / "a.npz", 0, 50), "--update", "-o", tmp_path / "i", "-w", tmp_path / "w")
    assert found.code == 0 and "50 added, 0 removed" in found.out


def test_auto_says_why(cli: Cli, tmp_path: Path) -> None:
    found = cli("index", vectors(tmp_path / "a.npz", 0, 500), "--auto", "-o", tmp_path / "i", "-w", tmp_path / "w")
    assert found.code == 0 and "exact search takes" in found.out


def test_recall_and_memory_are_kept_or_refused(cli: Cli, tmp_path: Path) -> None:
    """What no kind can keep ends with 4, and says how much memory would do."""
    file = vectors(tmp_path / "a.npz", 0, 600)
    common = ["--target-recall", "0.9", "-o", tmp_path / "i", "-w", tmp_path / "w", "--format", "json"]
    found = cli("index", file, "--max-memory", "1K", *common)
    hint = json.loads(found.err.splitlines()[-1])["hint"]
    assert found.code == 4 and "no index of 600 images" in found.err, found.err
    assert hint.startswith("--max-memory 1M is the least that does")
    report = json.loads(cli("index", file, "--max-memory", "1M", *common).out)
    assert report["images"] == 600 and report["recall"] >= 0.9 and report["memory"] <= 1e6


@pytest.mark.parametrize(
    "options, says",
    [
        (["--factory", "IVF"], "IVF1024,PQ32"),
        (["--factory", "Flat", "--auto"], "remove one of them"),
        (["--update", "--auto"], "--update cannot change the kind"),
        (["--max-memory", "much"], "500M or 4G"),
        (["--max-memory", "0G"], "invalid --max-memory"),
    ],
)
def test_wishes_that_make_no_sense_are_usage_errors(cli: Cli, tmp_path: Path, options: list[str], says: str) -> None:
    found = cli("index", vectors(tmp_path / "a.npz", 0, 50), *options, "-o", tmp_path / "i", "-w", tmp_path / "w")
    assert found.code == 2 and says in found.err and not (tmp_path / "i").exists()


def test_a_catalog_without_one_good_image_keeps_embeddings_and_index(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path
) -> None:
    command = ("index", shop, "--model", plain_model, "-w", tmp_path / "w")
    assert cli(*command).code == 0
    for image in shop.rglob("*.png"):
        image.write_bytes(b"damaged")
    done = cli(*command)
    assert done.code == 4 and "none of the 12 images could be embedded" in done.err
    assert len(embeddings.open_embeddings(tmp_path / "w" / "embeddings").items) == 12
    assert indexes.open_index(tmp_path / "w" / "index").images == 12


def on_disks(root: Path) -> Path:
    """A shop of 16 photos on one disk and 48 on another."""
    make_shop(root / "disk1", products=4, images=4)
    for number in range(12):
        folder = root / "disk2" / f"product-{number + 4:02}"
        folder.mkdir(parents=True)
        for view in range(4):
            (folder / f"{view}.png").write_bytes(encoded(photo(number + 4, view)))
    return root


def test_an_unmounted_disk_is_not_taken_for_deleted_photos(cli: Cli, plain_model: Path, tmp_path: Path) -> None:
    shop, place = on_disks(tmp_path / "shop"), tmp_path / "w"
    common = ["--model", plain_model, "-w", place]
    assert cli("index", shop, *common).code == 0
    (shop / "disk2").rename(tmp_path / "away")
    (shop / "disk2").mkdir()
    before = {name: (place / name).stat().st_ino for name in ("index", "embeddings")}
    found = cli("index", shop, "--update", *common)
    assert found.code == 4 and "48 of the 64 images" in found.err and "all 48 of disk2" in found.err
    assert "--prune" in found.err
    assert {name: (place / name).stat().st_ino for name in ("index", "embeddings")} == before
    found = cli("embed", shop, *common)
    assert found.code == 4 and "48 of the 64 images of the embeddings" in found.err
    report = json.loads(cli("index", shop, "--update", "--prune", *common, "--format", "json").out)
    assert (report["images"], report["removed"]) == (16, 48)
    (shop / "disk2").rmdir()
    (tmp_path / "away").rename(shop / "disk2")
    report = json.loads(cli("embed", shop, *common, "--format", "json").out)
    assert (report["images"], report["computed"]) == (64, 0)  # their vectors were kept


def test_deleted_photos_of_a_few_products_are_removed_unasked(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path
) -> None:
    common = ["--model", plain_model, "-w", tmp_path / "w", "--format", "json"]
    cli("index", shop, *common)
    for product in ("product-00", "product-01"):
        (shop / product / "0.png").unlink()
    report = json.loads(cli("index", shop, "--update", *common).out)
    assert (report["images"], report["removed"]) == (10, 2)


def test_prune_without_update_is_a_usage_error(cli: Cli, shop: Path, tmp_path: Path) -> None:
    found = cli("index", shop, "--prune", "-w", tmp_path / "w")
    assert found.code == 2 and "--update --prune" in found.err


def test_a_catalog_that_moved_is_reported_and_found_again(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path
) -> None:
    place = tmp_path / "w"
    cli("index", shop, "--model", plain_model, "-w", place)
    moved = shop.rename(tmp_path / "moved")
    picture = moved / "product-01" / "0.png"
    found = cli("query", picture, "-w", place, "-k", 1)
    assert found.code == 0 and f"the catalog {shop} is not there" in found.err and "--update" in found.err
    assert f"the catalog {shop} does not exist" in cli("status", "-w", place).err
    report = json.loads(cli("index", moved, "--update", "--model", plain_model, "-w", place, "--format", "json").out)
    assert (report["images"], report["added"], report["removed"]) == (12, 0, 0)
    found = cli("query", picture, "-w", place, "-k", 1)
    assert found.code == 0 and "if it was moved" not in found.err and str(picture) in found.out


def test_a_catalog_that_moved_with_its_workspace_is_found(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path
) -> None:
    cli("index", shop, "--model", plain_model, "-w", shop / ".dmlcli")
    moved = shop.rename(tmp_path / "moved")
    found = cli("query", moved / "product-01" / "0.png", "-w", moved / ".dmlcli", "-k", 1, "--model", plain_model)
    assert found.code == 0 and "if it was moved" not in found.err and str(moved) in found.out


def test_a_catalog_that_vanishes_leaves_no_index(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dmlcli.encoder import Encoder

    made = Encoder.__init__

    def vanishing(self: Encoder, *arguments: object, **options: object) -> None:
        made(self, *arguments, **options)  # type: ignore[arg-type]
        shutil.rmtree(shop)

    monkeypatch.setattr(Encoder, "__init__", vanishing)
    found = cli("index", shop, "--model", plain_model, "-w", tmp_path / "w")
    assert found.code == 4 and "disappeared while" in found.err
    assert not (tmp_path / "w" / "index").exists() and not (tmp_path / "w" / "embeddings").exists()
