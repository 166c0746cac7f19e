"""dmlcli sweep: recipes are tried, and the best one is a file that train takes."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import dmlcli
from dmlcli.errors import CannotRun, CatalogError, UsageError
from dmlcli.learn.recipe_files import resolve
from dmlcli.learn.sweep.nested import NestedFolds
from dmlcli.report import schema
from dmlcli.report.models_diff import ScoreDifference
from dmlcli.report.sweep import SweepReport, decide
from tests.conftest import SAMPLE, Cli, Mission

FAST = ("--backbone", "descriptor", "--views", 1, "--epochs", 1, "--dim", 8, "--head", "linear", "--batch-size", 64)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty products with four photos each."""
    root = tmp_path_factory.mktemp("sweep") / "shop"
    for folder in sorted((SAMPLE / "catalog").glob("*/*"))[::2][:20]:
        shutil.copytree(folder, root / folder.name)
    return root


@pytest.fixture(scope="module")
def swept(shop: Path, mission: Mission) -> tuple[Path, SweepReport]:
    """A workspace with three trials."""
    workspace = shop.parent / "workspace"
    shutil.copytree(mission.workspace / "frozen", workspace / "frozen")
    return workspace, sweep(shop, workspace, 3)


def sweep(shop: Path, workspace: Path, trials: int, **settings: object) -> SweepReport:
    names = [str(name).removeprefix("--").replace("-", "_") for name in FAST[::2]]
    given = dict(zip(names, FAST[1::2], strict=True)) | {"losses": "proxy-anchor,triplet"} | settings
    report = dmlcli.sweep(shop, workspace=workspace, trials=trials, **given)
    assert isinstance(report, SweepReport)
    return report


def test_the_default_recipe_and_others_are_tried_and_the_best_is_a_recipe(swept: tuple[Path, SweepReport]) -> None:
    workspace, report = swept
    assert sorted(one.number for one in report.trials) == [0, 1, 2]
    assert [one.number for one in report.trials if one.is_default] == [0]
    scores = [one.score for one in report.trials if one.score is not None]
    assert scores == sorted(scores, reverse=True) and "unseen products" in report.held_out
    best = resolve(report.file, {})
    assert vars(best).items() >= {**report.changed, "backbone": "descriptor", "head": "linear", "dim": 8}.items()
    assert report.recipe["loss"] == best.loss and Path(report.file).is_relative_to(workspace / "sweeps")
    assert {row.search for row in report.differences} == {"seen", "unseen", "all"}
    for row in report.differences:
        assert row.interval95 is not None and row.interval95[0] <= (row.difference or 0.0) <= row.interval95[1]


def test_the_same_command_continues_and_other_settings_begin_another_sweep(
    swept: tuple[Path, SweepReport], shop: Path, tmp_path: Path, cli: Cli
) -> None:
    workspace, _ = swept
    copy = tmp_path / "workspace"
    shutil.copytree(workspace, copy)
    line = ["sweep", shop, *FAST, "--losses", "proxy-anchor,triplet", "-w", copy, "-o", tmp_path / "best.toml"]
    found = cli(*line, "--trials", 4, "--html", tmp_path / "page.html")
    assert found.code == 0 and "3 of 4 trials are done" in found.err, found.err
    assert "4 trials" in found.out and "95 % interval" in found.out and "default" in found.out
    page = (tmp_path / "page.html").read_text()
    assert "never saw" in page and page.count("<polyline") == 2 and ">trial</text>" in page
    assert resolve(str(tmp_path / "best.toml"), {}).dim == 8
    other = cli(*line, "--trials", 1, "--seed", 1, "--format", "json")
    report = json.loads(other.out)
    Draft202012Validator(schema("sweep")).validate(report)
    assert len(report["trials"]) == 1 and report["trials"][0]["is_default"] and not report["better"]
    assert "no recipe scored higher" in report["why"] and len([*(copy / "sweeps").iterdir()]) == 2


@pytest.mark.slow
def test_a_killed_sweep_is_continued(swept: tuple[Path, SweepReport], shop: Path, tmp_path: Path) -> None:
    workspace, _ = swept
    copy = tmp_path / "workspace"
    shutil.copytree(workspace, copy)
    (study,) = (copy / "sweeps").glob("*/study.db")
    line = [sys.executable, "-m", "dmlcli", "sweep", shop, *FAST, "--losses", "proxy-anchor,triplet", "-w", copy]
    with subprocess.Popen([*map(str, line), "--trials", "500"], stderr=subprocess.DEVNULL) as process:
        while _count(study) < 4:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    done = _count(study)
    assert len(sweep(shop, copy, done + 1).trials) == done + 1


def _count(study: Path) -> int:
    with sqlite3.connect(study, timeout=60) as connection:
        (count,) = connection.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')").fetchone()
        return int(count)


def test_a_budget_leaves_time_for_the_held_out_photos(
    swept: tuple[Path, SweepReport], shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No trial begins that would not: here, where trials take long, none beside those that are done."""
    workspace, before = swept
    copy = tmp_path / "workspace"
    shutil.copytree(workspace, copy)
    monkeypatch.setattr("dmlcli.learn.sweep.run._reserve", lambda study: 1e6)
    assert len(sweep(shop, copy, 50, budget="10m").trials) == len(before.trials)


@pytest.mark.parametrize("moment", ["score", "assess"])
def test_an_interrupted_sweep_names_what_is_kept(
    swept: tuple[Path, SweepReport], shop: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    workspace, before = swept
    copy = tmp_path / "workspace"
    shutil.copytree(workspace, copy)
    with monkeypatch.context() as patch:
        patch.setattr(NestedFolds, moment, interrupted)
        trials = 4 if moment == "score" else 3
        found = cli("sweep", shop, *FAST, "--losses", "proxy-anchor,triplet", "-w", copy, "--trials", trials)
    assert found.code == 130 and "trials are kept" in found.err
    assert "run the same command again to continue" in found.err
    again = sweep(shop, copy, 4)
    assert len(again.trials) == len(before.trials) + 1 and not list(copy.glob("sweeps/*/trial-*.lock"))


def test_mistakes_are_answered_before_the_work(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    for settings, words in (
        ({"losses": "no-such"}, "no-such"),
        ({"losses": "softmax", "loss": "triplet"}, "--loss fixes the loss"),
        ({"losses": None, "head": "identity"}, "--head identity"),
    ):
        with pytest.raises(UsageError, match=words):
            sweep(shop, tmp_path / "w", 1, **settings)
    for product in sorted(shop.iterdir())[:12]:
        shutil.copytree(product, tmp_path / "small" / product.name)
    with pytest.raises(CatalogError, match="at least 16 products"):
        sweep(tmp_path / "small", tmp_path / "w", 1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotRun, match="optuna") as raised:
        sweep(shop, tmp_path / "w", 1)
    assert raised.value.hint == "pip install 'dmlcli[sweep]'"


def row(search: str, gap: float, low: float, high: float, metric: str = "map@r") -> ScoreDifference:
    return ScoreDifference(search, metric, 0.5 + gap, 0.5, gap, (low, high), low > 0 or high < 0)


@pytest.mark.parametrize(
    ("rows", "better", "why"),
    [
        ([row("seen", 0.1, 0.05, 0.15), row("all", 0.1, 0.01, 0.19)], True, "significantly better"),
        ([row("seen", 0.1, 0.05, 0.15), row("all", 0.1, -0.01, 0.19)], False, "not significantly better"),
        ([row("seen", -0.1, -0.2, -0.05), row("unseen", 0.3, 0.2, 0.4), row("all", 0.1, 0.05, 0.2)], False, "for seen"),
        ([row("all", -0.1, -0.2, -0.05)], False, "significantly worse"),
        ([row("unseen", 0.1, 0.05, 0.15)], True, "significantly better"),
        ([row("all", 0.0, -0.1, 0.1), row("all", 0.1, 0.05, 0.15, "recall@1")], False, "not significantly"),
    ],
)
def test_only_held_out_photos_say_better(rows: list[ScoreDifference], better: bool, why: str) -> None:
    assert decide(rows, is_default=False)[0] is better and why in decide(rows, is_default=False)[1]
    assert decide(rows, is_default=True) == (False, "no recipe scored higher than the default one in the search")
