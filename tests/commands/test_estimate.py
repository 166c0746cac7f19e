"""What a run would take is found by trying, leaves nothing behind, and a budget is kept; both beside a real run."""

import json
import shutil
import time
from pathlib import Path

import pytest

from tests.conftest import SAMPLE, Cli, make_shop, process

NETWORK = ["--backbone", "descriptor", "--dim", "32"]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    for product in sorted((SAMPLE / "catalog").glob("*/*"))[:16]:
        shutil.copytree(product, tmp_path / "catalog" / product.name)
    return tmp_path / "catalog"


def test_a_plan_is_reported_and_nothing_is_made(cli: Cli, catalog: Path, tmp_path: Path) -> None:
    found = cli("train", catalog, *NETWORK, "--dry-run", "-w", tmp_path / "w", "--format", "json")
    assert found.code == 0, found.err
    report = json.loads(found.out)
    assert not (tmp_path / "w").exists()
    assert (
        report["products"] == 16 and report["recipe"]["backbone"] == "descriptor" and "3 folds" in report["validation"]
    )
    assert report["seconds"] == pytest.approx(sum(report["parts"].values())) and report["parts"]["features"] > 0
    assert report["memory"] > 2**26


def test_a_plan_in_which_no_stage_is_trained(cli: Cli, tmp_path: Path) -> None:
    """Too few products to validate gradient steps: the head is solved, and that is all."""
    found = cli(
        "train", make_shop(tmp_path / "shop", 6), *NETWORK, "--dry-run", "-w", tmp_path / "w", "--format", "json"
    )
    assert found.code == 0, found.err
    assert json.loads(found.out)["parts"]["embedding"] == 0.0


def test_a_budget_that_is_no_time_is_refused(cli: Cli, shop: Path, tmp_path: Path) -> None:
    found = cli("train", shop, "--budget", "soon", "-w", tmp_path / "w")
    assert found.code == 2 and "--budget 10m" in found.err


@pytest.mark.slow
def test_the_estimate_holds_beside_the_run(catalog: Path, tmp_path: Path) -> None:
    import torch
    import torchvision

    weights = tmp_path / "weights.pth"
    torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), weights)
    options = ["--backbone", "mobilenet_v3_small", "--weights", weights, "--tune", "all", "--epochs", "3"]
    plan = process("train", catalog, *options, "--dry-run", "--format", "json", cwd=tmp_path)
    expected = json.loads(plan.stdout)["seconds"]
    started = time.monotonic()
    done = process("train", catalog, *options, "--patience", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    took = time.monotonic() - started
    print(f"estimated {expected:.0f} s, took {took:.0f} s")
    assert 1 / 1.5 < took / expected < 1.5


@pytest.mark.slow
def test_a_budget_is_kept(catalog: Path, tmp_path: Path) -> None:
    import torch
    import torchvision

    weights = tmp_path / "weights.pth"
    torch.save(torchvision.models.mobilenet_v3_small(weights=None).state_dict(), weights)
    options = ["--backbone", "mobilenet_v3_small", "--weights", weights, "--tune", "all", "--epochs", "500"]
    started = time.monotonic()
    done = process("train", catalog, *options, "--patience", "0", "--budget", "90s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    took = time.monotonic() - started
    print(f"budget 90 s, took {took:.0f} s")
    assert took < 1.1 * 90
    found = process("query", catalog / next(catalog.iterdir()).name / "1.jpg", cwd=tmp_path)
    assert found.returncode == 0, found.stderr.decode()
