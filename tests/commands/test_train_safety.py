"""What training leaves behind when it is repeated, interrupted, copied or goes wrong: nothing is lost or half done."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dmlcli import indexes, model_history, runs
from dmlcli.learn.data import feature_cache
from dmlcli.learn.networks import onnx_export
from dmlcli.learn.training import candidate
from dmlcli.learn.training.backbone_stages import WholeStage
from dmlcli.learn.validation import head_selection
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.model import open_model
from tests.conftest import Cli, Run, make_shop

Train = Callable[..., Run]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Three products: too few to validate with, so that the head is kept."""
    return make_shop(tmp_path / "shop", products=3)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "w"


@pytest.fixture
def train(cli: Cli, shop: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train without inference graphs, which take most of the time; returns what was printed."""

    def left_out(*_: object) -> None:
        raise onnx_export._Unfaithful("left out")

    monkeypatch.setattr(onnx_export, "_write_graph", left_out)

    def call(*options: object, catalog: Path = shop, place: Path = workspace, code: int = 0) -> Run:
        views = [] if {"none", "--resume"} & {*options} else ["--views", 1]
        network = [] if "--backbone" in options or "--resume" in options else ["--backbone", "descriptor"]
        found = cli("train", catalog, "-w", place, "--format", "json", *network, *views, *options)
        assert found.code == code, found.err
        return found

    return call


def report_of(found: Run) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(found.out)
    return report


def test_queries_are_answered_at_every_moment_of_a_second_training(
    train: Train, cli: Cli, shop: Path, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by what a process that is killed between index and model leaves."""
    before = report_of(train("--dim", 8))["fingerprint"]
    answered: list[int] = []

    def ask(place: Path = workspace) -> None:
        found = cli("query", shop / "product-01" / "0.png", "-w", place, "-k", 1)
        assert found.out.split("\t")[2:4] == ["1.000000", "product-01"], found.err
        answered.append(found.code)

    def around(work: Callable[..., Any]) -> Callable[..., Any]:
        def asking(*arguments: Any) -> Any:
            ask()
            result = work(*arguments)
            ask()
            killed = shutil.copytree(workspace, tmp_path / f"killed-{len(answered)}")
            ask(killed)
            return result

        return asking

    monkeypatch.setattr(indexes, "build", around(indexes.build))
    monkeypatch.setattr(model_history, "place", around(model_history.place))
    assert report_of(train("--dim", 6))["fingerprint"] != before
    ask()
    assert len(answered) >= 7 and set(answered) == {0}


@pytest.mark.slow
def test_the_model_that_is_replaced_is_kept_and_one_command_returns_to_it(
    train: Train, cli: Cli, shop: Path, workspace: Path
) -> None:
    first = report_of(train("--dim", 8))
    assert first["replaced"] is None
    second = report_of(train("--dim", 6))
    kept = workspace / "models" / first["fingerprint"]
    assert second["replaced"] == str(kept)
    assert open_model(kept).record.dim == 8 and open_model(workspace / "model").record.dim == 6
    assert cli("index", shop, "-w", workspace, "--model", kept).code == 0
    assert open_model(workspace / "model").record.fingerprint == first["fingerprint"]
    assert open_model(workspace / "models" / second["fingerprint"]).record.dim == 6
    found = cli("query", shop / "product-01" / "0.png", "-w", workspace, "-k", 1)
    assert found.code == 0 and "replaced" not in found.err
    shown = cli("train", shop, "-w", workspace, "--backbone", "descriptor", "--views", 1, "--dim", 6, "--no-index")
    assert f"dmlcli models use {kept.name}" in shown.out


@pytest.mark.slow
def test_an_index_of_the_model_before_goes_on_answering_and_says_so(
    train: Train, cli: Cli, shop: Path, workspace: Path
) -> None:
    train("--dim", 8)
    train("--dim", 6, "--no-index")
    found = cli("query", shop / "product-01" / "0.png", "-w", workspace, "-k", 1)
    assert found.code == 0 and found.out.split("\t")[2:4] == ["1.000000", "product-01"]
    assert "has been replaced" in found.err and "dmlcli index CATALOG" in found.err


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["features", "folds"])
def test_ctrl_c_before_the_first_epoch_says_what_is_kept_and_is_resumed_in_a_copy(
    train: Train, cli: Cli, workspace: Path, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy trains its own model, and leaves the workspace that it was copied from alone."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    done, counted = head_selection._try_all, list[int]()

    def one_fold(*given: Any) -> list[head_selection.HeadScores]:
        if list(workspace.glob("runs/*/folds.json")):
            raise KeyboardInterrupt
        return done(*given)

    def counting(*given: Any) -> list[head_selection.HeadScores]:
        counted.append(1)
        return done(*given)

    catalog = make_shop(tmp_path / "more", products=8, images=4)
    with monkeypatch.context() as patch:
        if moment == "features":
            patch.setattr(feature_cache, "stacked", interrupted)
        else:
            patch.setattr(head_selection, "_try_all", one_fold)
        found = train("--epochs", 1, catalog=catalog, code=130)
    assert "can be resumed" in found.err and "--resume" in found.err and str(workspace) in found.err
    assert (workspace / "features").is_dir() and not (workspace / "model").exists()
    copy = shutil.copytree(workspace, tmp_path / "copy")
    monkeypatch.setattr(head_selection, "_try_all", counting)
    train("--resume", "--no-index", catalog=catalog, place=copy)
    assert (copy / "model").is_dir() and not (workspace / "model").exists()
    assert len(counted) == (2 if moment == "features" else 1)
    assert [record.state for record in runs.list_runs(workspace / "runs")] == ["unfinished"]


@pytest.mark.slow
def test_ctrl_c_in_the_final_fit_keeps_the_backbone_of_the_fold_and_is_resumed(
    train: Train, workspace: Path, tmp_path: Path, random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, trained = make_shop(tmp_path / "more", products=8, images=4), list[int]()
    monkeypatch.setattr(candidate, "_LEAST_GAIN", -1)  # any epoch is kept, whatever else scores higher
    monkeypatch.setattr("dmlcli.learn.training.epochs.behind", lambda *_: ())
    kept = lambda plan, best: (best, candidate.frozen_candidate(plan, first=True))  # noqa: E731
    monkeypatch.setattr("dmlcli.learn.training.trainer.select", kept)
    batches = WholeStage.batches

    def interrupted(stage: WholeStage, epoch: int) -> Any:
        trained.append(len(stage.fold.train.labels))
        if trained[-1] == 32 and 32 not in trained[:-1]:
            raise KeyboardInterrupt
        return batches(stage, epoch)

    monkeypatch.setattr(WholeStage, "batches", interrupted)
    asked = ["--backbone", "alexnet", "--weights", random_weights, "--dim", 8, "--tune", "all", "--batch-size", 8]
    found = train(*asked, "--epochs", 2, "--learning-rate", 1e-5, "--no-index", catalog=catalog, code=130)
    assert "interrupted before training on all photos" in found.err and "--resume continues" in found.err
    before = open_model(workspace / "model").record
    assert before.scores["chosen"].startswith("epoch") and len(before.products) == 8
    found = train("--resume", "--no-index", catalog=catalog)
    assert trained[-1] == 32 and "interrupted" not in found.err
    assert open_model(workspace / "model").record.fingerprint != before.fingerprint


def test_a_recipe_that_was_edited_is_refused_with_the_difference(
    train: Train, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(feature_cache, "stacked", interrupted)
        train("--dim", 8, code=130)
    (file,) = workspace.glob("runs/*/recipe.toml")
    text = file.read_text()
    file.write_text(text.replace("learning_rate = 0.001", "learning_rate = 0.5").replace("dim = 8", "dim = 16"))
    found = train("--resume", code=4)
    assert "was edited" in found.err and "--learning-rate was 0.001, now 0.5" in found.err
    assert "--dim was 8, now 16" in found.err and "--recipe" in found.err
    file.write_text("# a note\n" + text)
    train("--resume", "--no-index")


@pytest.mark.slow
def test_training_that_diverges_ends_with_4_and_leaves_the_model_before(
    train: Train, cli: Cli, workspace: Path, tmp_path: Path
) -> None:
    before = report_of(train("--no-index"))["fingerprint"]
    catalog = make_shop(tmp_path / "more", products=8, images=4)
    asked = ["--tune", "head", "--loss", "multi-similarity", "--learning-rate", 1e37, "--no-index"]
    found = train(*asked, catalog=catalog, code=4)
    assert "training diverged at the end of epoch 1: NaN or infinity in the squared weights" in found.err
    assert open_model(workspace / "model").record.fingerprint == before


def test_tune_none_pools_and_decodes_as_asked_and_keeps_the_weights_of_the_backbone(
    train: Train, random_weights: Path, workspace: Path
) -> None:
    import torch

    network = ["--tune", "none", "--backbone", "alexnet", "--weights", random_weights, "--no-index"]
    report = report_of(train(*network, "--pooling", "max", "--decode", "exact"))
    model = open_model(report["model"])
    assert (model.record.pooling, model.record.image.decode, report["chosen"]) == ("max", "exact", "pooled features")
    given = torch.load(random_weights, weights_only=True)
    assert all((model.weights()[f"backbone.{name}"] == value.numpy()).all() for name, value in given.items())
    assert report_of(train(*network))["fingerprint"] != report["fingerprint"]


@pytest.mark.parametrize(
    "options",
    [["none", "--loss", "triplet"], ["none", "--epochs", "3"], ["none", "--dim", "8"], ["head", "--warmup", "2"]],
)
def test_an_option_that_would_have_no_effect_is_refused(
    cli: Cli, shop: Path, tmp_path: Path, options: list[str]
) -> None:
    found = cli("train", shop, "-w", tmp_path / "w", "--tune", *options)
    assert found.code == 2 and f"{options[1]} would have no effect" in found.err and not (tmp_path / "w").exists()


def test_where_training_does_harm_the_model_is_the_frozen_backbone(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frozen backbone is said to find every unseen product; nothing that is trained can be as good."""
    plan = make_plan

    def harmed(*arguments: Any) -> ValidationPlan:
        found = plan(*arguments)
        return replace(found, frozen_scores=[{"seen": 0.0, "unseen": 1.1}] * len(found.folds))

    monkeypatch.setattr("dmlcli.learn.training.trainer.make_plan", harmed)
    catalog = make_shop(tmp_path / "more", products=8, images=4)
    report = report_of(train("--tune", "head", "--epochs", 1, "--no-index", catalog=catalog))
    assert report["chosen"] == "frozen backbone" and "worse for unseen products" in report["reason"]
    assert report["score"] == report["frozen_score"]
    record = open_model(report["model"]).record
    assert record.scores["chosen"] == "frozen backbone" and record.scores["open_set"] is None
    assert {name.partition(".")[0] for name in open_model(report["model"]).weights()} == {"backbone"}  # no head
