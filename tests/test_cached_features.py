"""Vectors from cached features are those that photos give, and other models are rejected with the reason."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmlcli import cached_features, model_switch
from dmlcli import encoder as encoder_module
from dmlcli.catalog import open_catalog
from dmlcli.embeddings import Embeddings, open_embeddings
from dmlcli.encoder import Encoder
from dmlcli.model import Model, open_model
from dmlcli.workspace import Workspace
from tests.commands.test_models import HEAD
from tests.commands.test_train_safety import Train, report_of, train, workspace  # noqa: F401 (fixtures)
from tests.conftest import SAMPLE, Cli


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Ten products of the sample catalog."""
    for number, folder in enumerate(sorted((SAMPLE / "catalog").glob("*/*"))[::5][:10]):
        shutil.copytree(folder, tmp_path / "shop" / f"product-{number:02}")
    return tmp_path / "shop"


def cosines(made: Embeddings, model: Model, shop: Path) -> np.ndarray:
    """The cosines of vectors to those that the photos give."""
    exact = Encoder(model).embed_catalog(open_catalog(shop), []).embeddings
    rows = {state.digest: row for row, state in enumerate(exact.states)}
    others = exact.vectors[[rows[state.digest] for state in made.states]]
    return np.asarray((made.vectors * others).sum(axis=1))


@pytest.mark.parametrize("head", ["linear", "mlp", "bnneck", "layernorm"])
@pytest.mark.parametrize("views", [1, 2])
def test_heads_of_every_kind_give_the_vectors_of_the_photos(
    train: Train,  # noqa: F811
    workspace: Path,  # noqa: F811
    shop: Path,
    head: str,
    views: int,
) -> None:
    train(*HEAD, "--dim", 8, "--head", head, "--views", views, "--no-index")
    model = open_model(workspace / "model")
    made, reason = cached_features.embed_cached(model, Workspace(workspace))
    assert made is not None and not reason and len(made.items) == 80 and model.record.mirror is (views == 2)
    assert model.record.head["kind"] == "blend" and cosines(made, model, shop).min() > 0.9999


def test_a_model_that_is_used_again_is_indexed_from_features_with_the_answers_of_its_photos(
    train: Train,  # noqa: F811
    cli: Cli,
    workspace: Path,  # noqa: F811
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (report_of(train(*HEAD, "--dim", dim))["fingerprint"] for dim in (8, 6))
    exact = open_embeddings(workspace / "embedded" / first)
    shutil.rmtree(workspace / "embedded")
    monkeypatch.setattr(encoder_module.Encoder, "embed_catalog", lambda *_, **__: pytest.fail("photos were embedded"))
    used = cli("models", "use", first, "-w", workspace, "--format", "json")
    report = report_of(used)
    assert (report["images"], report["embedded"], report["from_features"]) == (80, 0, 80)
    assert [(row["search"], row["metric"]) for row in report["scores"]] == [("seen", "map@r"), ("seen", "recall@1")]
    assert "MAP@R of photos held out from both models differs by" in used.err
    now = open_embeddings(workspace / "embeddings")
    assert now.model == first and (now.vectors * exact.vectors).sum(axis=1).min() > 0.9999
    back = cli("models", "use", second, "-w", workspace)
    assert "80 with kept vectors, 0 embedded" in back.out and "the replaced model" in back.out


def test_photos_without_features_are_embedded_and_the_reason_is_shown(
    train: Train,  # noqa: F811
    cli: Cli,
    workspace: Path,  # noqa: F811
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, _ = (report_of(train(*HEAD, "--dim", dim))["fingerprint"] for dim in (8, 6))
    shutil.rmtree(workspace / "embedded")
    shutil.rmtree(workspace / "features")
    monkeypatch.setattr(model_switch, "_WORTH_AN_ESTIMATE", 50)
    used = cli("models", "use", first, "-w", workspace)
    assert "0 with kept vectors, 80 embedded" in used.out
    assert "80 photos must be embedded again, because the features of the plain view are not cached: about" in used.err


def test_models_of_other_backbones_are_rejected_with_the_reason(
    train: Train,  # noqa: F811
    workspace: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train(*HEAD, "--dim", 8, "--no-index")
    model, place = open_model(workspace / "model"), Workspace(workspace)
    image = replace(model.record.image, crop=64)
    for changes, reason in (
        ({"backbone": "mobilenet_v2"}, "its backbone is mobilenet_v2"),
        ({"image": image}, "another size"),
        ({"pooling": "avg"}, "its pooling is avg"),
    ):
        other = replace(model, record=replace(model.record, **changes))
        made, why = cached_features.embed_cached(other, place)
        assert made is None and reason in why
    name = next(name for name in model.weights() if name.startswith("backbone"))
    trained = {**model.weights(), name: model.weights()[name] + 1}
    with monkeypatch.context() as patch:
        frozen = open_model(place.frozen).weights()
        patch.setattr(Model, "weights", lambda own: trained if own is model else frozen)
        assert cached_features.embed_cached(model, place) == (None, "its backbone was trained")
    assert cached_features.embed_cached(model, place, {"no such"})[1] == "no features of these photos are cached"
    assert cached_features.known(model, place, "flip", []) == []
    made, _ = cached_features.embed_cached(model, place)
    assert made is not None and cached_features.known(model, place, "", [made]) == []
    shutil.rmtree(place.frozen)
    assert cached_features.embed_cached(model, place)[1] == "no features are cached"


@pytest.mark.parametrize("command", ["embed", "index"])
def test_a_catalog_that_was_trained_on_is_embedded_from_its_features(
    train: Train,  # noqa: F811
    cli: Cli,
    workspace: Path,  # noqa: F811
    shop: Path,
    command: str,
) -> None:
    train(*HEAD, "--dim", 8, "--no-index")
    model = open_model(workspace / "model")
    done = cli(command, shop, "-w", workspace, "--format", "json")
    assert done.code == 0 and "80 photos have cached features" in done.err
    assert cosines(open_embeddings(workspace / "embeddings"), model, shop).min() > 0.9999
    again = cli(command, shop, "-w", workspace)
    assert again.code == 0 and "cached features" not in again.err
