"""The first line of the mission: from photos to a searchable model; repeatable, interruptible, and never worse."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli.model import open_model
from tests.conftest import SAMPLE, Cli, Mission, encoded, make_shop, photo, process
from tests.places import SHARED

Train = Callable[..., dict[str, Any]]
GROCERY, WEIGHTS = SHARED / "data", SHARED / "weights" / "mobilenet_v2-tfimagenet-c6e13525.pth"
shared = pytest.mark.skipif(not GROCERY.exists(), reason="the real photos (../shared/data) are not here")


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty products of the sample catalog, many alike: enough that four of them are held out."""
    root = tmp_path_factory.mktemp("market") / "market"
    for number, product in enumerate(sorted((SAMPLE / "catalog").glob("*/*"))[-20:]):
        (root / f"product-{number:02}").mkdir(parents=True)
        for image in range(3):
            shutil.copy(product / f"{image + 1}.jpg", root / f"product-{number:02}" / f"{image}.png")
    return root


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, market: Path, random_weights: Path) -> Path:
    """A workspace in which the frozen alexnet is exported once for all tests."""
    from dmlcli.catalog import open_catalog
    from dmlcli.learn.networks import frozen, pretrained

    workspace = tmp_path_factory.mktemp("train") / "w"
    start = pretrained.resolve("alexnet", str(random_weights))
    frozen.save(workspace / "frozen", frozen.build(start), start, open_catalog(market))
    return workspace


@pytest.fixture
def train(cli: Cli, place: Path, random_weights: Path) -> Train:
    """Train the quickest network there is, and return the report."""

    def call(catalog: Path, *options: object, code: int = 0) -> dict[str, Any]:
        network = ["--backbone", "alexnet", "--weights", random_weights, "--dim", 8, "--views", 1]
        found = cli("train", catalog, "-w", place, "--quiet", "--format", "json", *network, *options)
        assert found.code == code, found.err
        report: dict[str, Any] = json.loads(found.out)
        return report

    return call


def weights_of(model: str | Path) -> dict[str, Any]:
    return {name: array for name, array in open_model(Path(model)).weights().items() if name.startswith("backbone")}


def test_the_mission_ends_with_a_searchable_model(mission: Mission) -> None:
    assert mission.code == 0, mission.err
    assert mission.err.count("created the workspace") == 1 and "next: dmlcli query img.jpg" in mission.err
    assert "100 images of 20 products" in mission.out and "3 folds, each with" in mission.out
    assert {"model", "embeddings", "index"} <= {folder.name for folder in mission.workspace.iterdir()}
    record = open_model(mission.workspace / "model").record
    assert record.recipe["loss"] == "proxy-anchor" and len(record.products) == 20 and not record.held_out
    assert record.scores["map@r"] >= record.scores["frozen map@r"]


def test_the_stand_in_for_missing_weights_warns_once_and_is_recorded(mission: Mission) -> None:
    assert mission.err.count("falling back to the built-in descriptor") == 1
    record = open_model(mission.workspace / "model").record
    assert record.backbone == "descriptor" and "is used instead" in record.caution and "--weights" in record.caution


def test_pretrained_weights_that_cannot_be_had_exit_4(cli: Cli, shop: Path, tmp_path: Path) -> None:
    found = cli("train", shop, "--weights", "pretrained", "-w", tmp_path / "w")
    assert (
        found.code == 4
        and "cannot download" in found.err
        and "hint: pip install" in found.err
        and "--weights FILE" in found.err
    )
    assert not (tmp_path / "w" / "model").exists()


def test_a_misspelt_loss_or_backbone_is_answered_with_the_nearest(
    cli: Cli, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = cli("train", "--loss", "proxi-anchor", shop)
    assert found.code == 2 and "did you mean" in found.err and "proxy-anchor" in found.err
    found = cli("train", shop, "--backbone", "mobilnet_v3_large")
    assert found.code == 2 and "mobilenet_v3_large" in found.err


def test_one_product_is_not_enough(cli: Cli, tmp_path: Path) -> None:
    found = cli("train", make_shop(tmp_path / "shop", products=1), "-w", tmp_path / "w")
    assert found.code == 4 and "at least two products" in found.err and not (tmp_path / "w").exists()


@pytest.mark.slow
def test_a_seed_makes_training_repeatable(train: Train, market: Path, tmp_path: Path) -> None:
    more = ["--no-index", "--epochs", 3, "--seed", 5, "--dim", 64]
    report = [train(market, *more, "-o", tmp_path / name) for name in "ab"]
    assert report[0]["fingerprint"] == report[1]["fingerprint"] and report[0]["chosen"] != "frozen backbone"
    assert report[0]["score"] == report[1]["score"] and report[0]["score"] >= report[0]["frozen_score"]
    keys = [
        "schema",
        "run",
        "model",
        "fingerprint",
        "images",
        "products",
        "validation",
        "frozen_score",
        "score",
        "chosen",
    ]
    assert list(report[0]) == [
        *keys,
        "seconds",
        "index",
        "caution",
        "skipped",
        "searches",
        "product_recall",
        "reason",
        "replaced",
        "decision",
    ]
    assert report[0]["index"] is None


@pytest.mark.slow
def test_training_that_goes_wrong_keeps_what_was_best_before_it(train: Train, market: Path, place: Path) -> None:
    """A learning rate far too high ruins the backbone; the model that is kept has the one that it began with."""
    report = train(market, "--no-index", "--tune", "all", "--epochs", 1, "--learning-rate", 1, "--batch-size", 32)
    assert not report["chosen"].startswith("epoch") and report["score"] >= report["frozen_score"]
    before, after = weights_of(place / "frozen"), weights_of(report["model"])
    before = {name.replace(".trunk.", "."): value for name, value in before.items()}  # as the plain backbone has them
    after = {name.replace(".trunk.", "."): value for name, value in after.items()}
    backbone = [name for name in after if name.startswith("backbone.") and name in before]
    assert len(backbone) > 5 and all(np.array_equal(before[name], after[name]) for name in backbone)


@pytest.mark.slow
def test_tune_all_changes_the_backbone(train: Train, shop: Path, place: Path, cli: Cli) -> None:
    """Too few products to validate with: the last epoch is kept, and is searched with."""
    report = train(shop, "--tune", "all", "--epochs", 1, "--batch-size", 6)
    assert report["chosen"] == "epoch 1" and report["score"] is None
    before, after = weights_of(place / "frozen"), weights_of(report["model"])
    assert before.keys() == after.keys() and any(not np.array_equal(before[name], after[name]) for name in before)
    found = cli("query", shop / "product-01" / "0.png", "-w", place, "-k", 1)
    assert found.code == 0 and found.out.split("\t")[2:4] == ["1.000000", "product-01"]


def poisoned(root: Path) -> Path:
    """A shop whose test images would be noticed by whoever opens one of them."""
    for product in range(4):
        for number in range(3):
            folder = root / f"product-{product:02}"
            folder.mkdir(parents=True, exist_ok=True)
            poison = number == 2
            data = encoded(photo(product, number))
            (folder / f"{number}.png").write_bytes(data[:60] if poison else data)
    return root


@pytest.mark.slow
def test_the_test_split_of_a_table_is_never_opened(train: Train, tmp_path: Path, place: Path, cli: Cli) -> None:
    shop = poisoned(tmp_path / "shop")
    names = ("train", "train", "test")
    rows = [f"product-{n // 3:02}/{n % 3}.png,p{n // 3},{names[n % 3]}" for n in range(12)]
    (shop / "photos.csv").write_text("\n".join(["image,product,split", *rows]))
    report = train(shop / "photos.csv")
    assert (report["images"], report["skipped"]) == (8, [])
    hits = cli("query", shop / "product-00" / "0.png", "-w", place, "-k", 50, "--by", "image").out.splitlines()
    assert len(hits) == 8 and not any("/2.png" in hit for hit in hits)


@pytest.mark.slow
def test_the_test_folder_is_never_opened(train: Train, tmp_path: Path) -> None:
    make_shop(tmp_path / "shop" / "train")
    for number in range(3):
        folder = tmp_path / "shop" / "test" / f"product-{number:02}"
        folder.mkdir(parents=True)
        (folder / "good.png").write_bytes(encoded(photo(number, 9)))
        (folder / "garbage.jpg").write_bytes(b"garbage")
        os.mkfifo(folder / "pipe.jpg")
    report = train(tmp_path / "shop", "--no-index")
    assert (report["images"], report["skipped"]) == (12, [])


@pytest.mark.slow
def test_unreadable_images_are_listed_once_and_exit_3(train: Train, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop")
    (shop / "product-00" / "cut.png").write_bytes(encoded(photo(0))[:80])
    (shop / "product-01" / "text.jpg").write_bytes(b"<html>")
    report = train(shop, code=3)
    assert sorted(Path(skipped["path"]).name for skipped in report["skipped"]) == ["cut.png", "text.jpg"]


@pytest.mark.slow
def test_an_index_of_an_earlier_model_answers_by_that_model_until_it_is_rebuilt(
    train: Train, market: Path, place: Path, cli: Cli
) -> None:
    train(market)
    assert cli("query", market / "product-00" / "0.png", "-w", place, "-k", 1).code == 0
    train(market, "--no-index", "--decode", "exact")  # another model, even where both keep the frozen backbone
    found = cli("query", market / "product-00" / "0.png", "-w", place, "-k", 1)
    assert found.code == 0 and "has been replaced" in found.err and "dmlcli index CATALOG" in found.err
    assert cli("index", market, "-w", place).code == 0
    assert cli("query", market / "product-00" / "0.png", "-w", place, "-k", 1).code == 0


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(
    market: Path, place: Path, random_weights: Path, tmp_path: Path, cli: Cli
) -> None:
    shutil.copytree(place / "frozen", tmp_path / "w" / "frozen")
    options = ["--tune", "all", "--epochs", "500", "--batch-size", "8", "--dim", "8", "--views", "1"]
    network = ["--backbone", "alexnet", "--weights", str(random_weights), "--learning-rate", "1e-5"]
    command = [sys.executable, "-m", "dmlcli", "train", str(market), *options, *network, "-w", str(tmp_path / "w")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        heard = ""
        while "epoch 1/" not in heard and (line := running.stderr.readline()):
            heard += line
        assert "epoch 1/" in heard, heard
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (130, "")
    assert "the best model so far" in err and "--resume continues" in err and "Traceback" not in err
    assert cli("index", market, "-w", tmp_path / "w").code == 0
    found = cli("query", market / "product-03" / "1.png", "-w", tmp_path / "w", "-k", 1)
    assert found.code == 0 and found.out.split("\t")[2:4] == ["1.000000", "product-03"]


def test_ctrl_c_before_anything_is_done_leaves_no_half_of_a_model(shop: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dmlcli",
        "train",
        str(shop),
        "--backbone",
        "descriptor",
        "-w",
        str(tmp_path / "w"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None and "created the workspace" in running.stderr.readline()
        time.sleep(1.5)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=120)
    assert running.returncode == 130 and "Traceback" not in err and "\ndmlcli: error: " in f"\n{err}"
    assert "--resume" in err and not (tmp_path / "w" / "model").exists()
    assert not any(path.name.endswith(".tmp") for path in (tmp_path / "w").iterdir())


@pytest.mark.slow
def test_cached_weights_are_used_from_end_to_end(shop: Path, tmp_path: Path) -> None:
    """Random weights under the published name stand for the real ones."""
    import torch
    import torchvision

    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(
        torchvision.models.mobilenet_v3_small(weights=None).state_dict(), cache / "mobilenet_v3_small-047dcff4.pth"
    )
    options = ["--backbone", "mobilenet_v3_small", "--weights", "pretrained"]
    done = process("train", shop, *options, cwd=tmp_path, TORCH_HOME=str(tmp_path / "torch"))
    assert done.returncode == 0, done.stderr
    record = open_model(tmp_path / ".dmlcli" / "model").record
    assert record.backbone == "mobilenet_v3_small" and "047dcff4" in record.weights_from and record.caution == ""


def scored(workspace: Path, catalog: Path) -> dict[str, float]:
    columns = ["--product-column", "fine", "--category-column", "coarse", "--split-column", "source_split"]
    splits = ["--query-split", "test", "--gallery-split", "train", "--format", "json", "-w", workspace]
    done = process("eval", catalog, *columns, *splits, cwd=workspace.parent)
    assert done.returncode == 0, done.stderr
    metrics: dict[str, float] = json.loads(done.stdout)["metrics"]
    return metrics


def fitted(folder: Path, catalog: Path, *options: str) -> dict[str, float]:
    columns = ["--product-column", "fine", "--category-column", "coarse", "--split-column", "source_split"]
    network = ["--backbone", "mobilenet_v2", "--weights", WEIGHTS, "--no-index", "-w", folder / "w"]
    done = process("train", catalog, *columns, *network, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return scored(folder / "w", catalog)


@shared
@pytest.mark.slow
def test_real_photos_of_a_few_products(tmp_path: Path) -> None:
    """Eleven products, every fourth photo: the pooled features of the backbone find most of them."""
    rows = (GROCERY / "grocery_images.csv").read_text().splitlines()
    products = sorted({row.split(",")[1] for row in rows[1:]})[::8]
    kept = [row for row in rows[1:] if row.split(",")[1] in products][::4]
    table = tmp_path / "photos.csv"
    table.write_text("\n".join([rows[0], *(str(GROCERY / row) for row in kept)]))
    metrics = fitted(tmp_path, table, "--tune", "none")
    assert metrics["recall@1"] > 0.75 and metrics["map@r"] > 0.35


@shared
@pytest.mark.slow
def test_real_photos_reach_what_was_promised(tmp_path: Path) -> None:
    """All 81 products, query split test, gallery split train."""
    pooled = fitted(tmp_path, GROCERY / "grocery_images.csv", "--tune", "none")
    assert pooled["recall@1"] == pytest.approx(0.728, abs=0.005) and pooled["map@r"] == pytest.approx(0.372, abs=0.005)
    tuned = fitted(tmp_path, GROCERY / "grocery_images.csv")
    assert tuned["recall@1"] >= 0.82 and tuned["map@r"] >= 0.78


@pytest.mark.slow
def test_training_beats_the_frozen_stand_in_on_the_sample_catalog(tmp_path: Path) -> None:
    shutil.copytree(SAMPLE / "catalog", tmp_path / "catalog")
    found = []
    for options in (["--tune", "none"], []):
        done = process("train", "catalog", "--backbone", "descriptor", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = process("eval", "catalog", "--queries", SAMPLE / "queries", "--format", "json", cwd=tmp_path)
        found.append(json.loads(done.stdout)["metrics"]["recall@1"])
    assert found[1] > found[0]


@pytest.mark.slow
def test_decoding_and_augmentation_are_as_asked_and_kept_in_the_model(cli: Cli, shop: Path, tmp_path: Path) -> None:
    place, workspace = tmp_path / "m", ["-w", tmp_path / "w"]
    asked = ["--backbone", "descriptor", "--decode", "exact", "--augment", "strong", "--views", 3, "--epochs", 1]
    asked += ["-o", place]
    assert cli("train", shop, *workspace, *asked, "--no-index").code == 0
    record = open_model(place).record
    assert (record.image.decode, record.recipe["decode"], record.recipe["augment"]) == ("exact", "exact", "strong")
    assert any("strong1-seed0" in folder.name for folder in (tmp_path / "w" / "features").iterdir())
    found = cli("train", shop, *workspace, "--augment", "strongg")
    assert found.code == 2 and "strong" in found.err
