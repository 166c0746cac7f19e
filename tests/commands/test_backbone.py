"""--backbone, --weights, --pooling and --device of embed and index: they work, or say why they cannot."""

import json
from pathlib import Path

import numpy as np
import pytest

from dmlcli.embeddings import save
from tests.conftest import Cli, make_embeddings


@pytest.mark.parametrize("verb", ["embed", "index"])
def test_a_named_model_of_another_backbone_is_refused(
    verb: str, cli: Cli, shop: Path, plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = cli(verb, shop, "--model", plain_model, "--backbone", "resnet18")
    assert found.code == 2 and "--backbone resnet18, but it has descriptor" in found.err
    monkeypatch.setenv("DMLCLI_BACKBONE", "resnet18")
    found = cli(verb, shop, "--model", plain_model)
    assert found.code == 2 and 'set by DMLCLI_BACKBONE="resnet18"' in found.err
    monkeypatch.setenv("DMLCLI_BACKBONE", "descriptor")
    assert cli(verb, shop, "--model", plain_model).code == 0


def test_a_setting_makes_the_backbone_that_embeds(
    cli: Cli, shop: Path, random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dmlcli.toml").write_text(f"backbone = 'alexnet'\nweights = '{random_weights}'\n")
    assert cli("index", shop).code == 0
    record = json.loads((tmp_path / ".dmlcli" / "model" / "model.json").read_text())
    assert (record["backbone"], record["weights_from"]) == ("alexnet", str(random_weights))
    assert cli("index").code == 0  # from the embeddings of that very model


@pytest.mark.parametrize(
    "options", [["--backbone", "alexnet"], ["--weights", "none"], ["--pooling", "gem"], ["--average", "flip"]]
)
def test_options_that_cannot_act_on_embeddings_are_refused(options: list[str], cli: Cli, tmp_path: Path) -> None:
    save(tmp_path / "vectors.npz", make_embeddings(np.eye(4), ["a", "a", "b", "b"]))
    found = cli("index", tmp_path / "vectors.npz", *options, "-w", tmp_path / "w", "-o", tmp_path / "index")
    assert found.code == 2 and options[0] in found.err, found.err
    assert not (tmp_path / "index").exists()


def test_a_read_only_workspace_is_no_reason_not_to_embed_elsewhere(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w").mkdir()
    monkeypatch.setattr("dmlcli.workspace.Workspace.is_writable", False)
    for name in ("vectors.npz", "folder"):
        found = cli("embed", shop, "--model", plain_model, "-w", tmp_path / "w", "-o", tmp_path / name)
        assert found.code == 0 and (tmp_path / name).exists(), found.err
    assert not list((tmp_path / "w").iterdir())


def test_a_folder_where_no_workspace_can_be_made_is_none_either(
    cli: Cli, shop: Path, plain_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "w"
    found = cli("embed", shop, "--model", plain_model, "-w", place, "-o", tmp_path / "vectors.npz")
    assert found.code == 0 and (tmp_path / "vectors.npz").exists(), found.err
    assert cli("embed", shop, "--model", plain_model, "-w", place).code == 4
