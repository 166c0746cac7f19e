"""A run that is killed goes on, in processes of its own, to the very weights that it would have ended with."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dmlcli import runs
from dmlcli.model import open_model
from tests.commands.test_train import market, place  # noqa: F401 (fixtures)
from tests.conftest import Cli, process

KILLS, EPOCHS = 3, {"all": 12, "head": 600}


def options(weights: Path, tune: str) -> list[str]:
    network = ["--backbone", "alexnet", "--weights", str(weights), "--dim", "8", "--views", "2"]
    rates = ["--learning-rate", "1e-5", "--ema", "0.9", "--memory", "40:start=2", "--loss", "margin", "--patience", "0"]
    return [*network, *rates, "--tune", tune, "--epochs", str(EPOCHS[tune]), "--batch-size", "16", "--no-index"]


def epochs_done(workspace: Path) -> int:
    """How many epochs the only run in a workspace has logged."""
    rows = [row for folder in workspace.glob("runs/*") for row in runs.read_metrics(folder)]
    return max((row["epoch"] for row in rows if row.get("epoch")), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["all", "head"])
def test_killed_three_times_it_ends_with_the_same_weights(
    market: Path,  # noqa: F811
    place: Path,  # noqa: F811
    random_weights: Path,
    tmp_path: Path,
    tune: str,
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for workspace in (whole, broken):
        shutil.copytree(place / "frozen", workspace / "frozen")
    done = process("train", market, *options(random_weights, tune), "-w", whole, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()

    rng = random.Random(time.time_ns())
    killed: list[int] = []
    resume: list[str] = []
    for last in sorted(rng.sample(range(EPOCHS[tune] // 2), KILLS)):  # the epoch after which it will not live long
        command = [sys.executable, "-m", "dmlcli", "train", str(market), "-w", str(broken), *resume]
        command += [] if resume else options(random_weights, tune)
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while epochs_done(broken) < last and running.poll() is None:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 1) * (1 if tune == "all" else 0.02))
        running.kill()
        _, err = running.communicate()
        assert running.returncode == -9, err.decode()
        killed.append(epochs_done(broken))
        if any(broken.glob("runs/*/run.json")):  # not where it was killed before the run began
            resume = ["--resume", "--no-index"]
    assert resume, "every kill came before the run began"
    done = process("train", market, "-w", broken, *resume, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    models = [open_model(workspace / "model").record for workspace in (whole, broken)]
    print(f"killed after epochs {killed}: {models[0].fingerprint} uninterrupted, {models[1].fingerprint} resumed")
    assert models[0].fingerprint == models[1].fingerprint
    assert models[0].scores == models[1].scores
    stories = [
        [(row["candidate"], row["map@r"], row.get("loss")) for row in runs.read_metrics(next(iter(w.glob("runs/*"))))]
        for w in (whole, broken)
    ]
    assert stories[0] == stories[1]


def test_resume_is_refused_where_there_is_nothing_to_go_on_with(cli: Cli, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    found = cli("train", shop, "-w", tmp_path / "w", "--resume")
    assert found.code == 4 and "was interrupted" in found.err and "hint:" in found.err
    found = cli("train", shop, "-w", tmp_path / "w", "--run", "20260101-000000")
    assert found.code == 2 and "--resume" in found.err


def test_resume_is_refused_where_settings_or_photos_changed(cli: Cli, shop: Path, begun: Path) -> None:
    """Each is named; what is left out is as it was."""
    from dmlcli.learn.recipe import Recipe
    from dmlcli.learn.recipe_files import to_toml

    text = to_toml(Recipe(backbone="descriptor", epochs=2))
    with runs.start(begun / "runs", text, str(shop), begun / "model") as run:
        run.check_images({"gone.png": ["mug", "", "", "0"]})
        run.log({"candidate": "epoch 1", "epoch": 1})
    found = cli("train", shop, "-w", begun, "--resume", "--epochs", 5, "--loss", "triplet")
    assert (
        found.code == 4 and "--epochs was 2, now 5" in found.err and "--loss was proxy-anchor, now triplet" in found.err
    )
    found = cli("train", shop, "-w", begun, "--resume", "--epochs", 2)
    assert found.code == 4 and "1 gone (gone.png)" in found.err and "12 new (product-00/0.png" in found.err
