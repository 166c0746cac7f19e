"""Status says what there is and what to type next, and repeats what one must not forget."""

import json
from pathlib import Path

import pytest

from tests.conftest import Cli, Mission


def test_an_empty_folder_is_reported_how_to_begin(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = cli("status")
    assert (found.code, found.out) == (0, "no workspace in this folder or above it\n")
    assert found.err == "next: dmlcli train CATALOG, or dmlcli index CATALOG without training\n"
    assert not list(tmp_path.iterdir())


def test_it_says_what_the_workspace_holds_and_repeats_the_caution(mission: Mission, cli: Cli) -> None:
    found = cli("status", "-w", mission.workspace)
    assert found.code == 0 and "descriptor" in found.out and "100 images" in found.out
    assert found.err.count("the built-in descriptor is used instead of efficientnet_lite0 (see --weights)\n") == 1
    assert "cannot download" not in found.err and f"next: dmlcli query -w {mission.workspace} img.jpg" in found.err
    report = json.loads(cli("status", "-w", mission.workspace, "--format", "json").out)
    assert list(report) == ["schema", "workspace", "model", "embeddings", "index", "next", "cautions", "runs"]
    assert report["model"]["backbone"] == "descriptor" and "is used instead" in report["cautions"][0]


def test_a_workspace_that_is_named_and_not_there_is_an_error(tmp_path: Path, cli: Cli) -> None:
    for verb in (["status"], ["eval"], ["eval", tmp_path]):
        found = cli(*verb, "-w", tmp_path / "typo")
        assert found.code == 4 and f"no workspace found in {tmp_path / 'typo'}" in found.err


def test_an_index_of_another_model_is_reported(workspace: Path, cli: Cli) -> None:
    file = workspace / "index" / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model": "another"}))
    assert "made by another model" in cli("status", "-w", workspace).err


def test_next_is_the_step_that_is_missing(workspace: Path, tmp_path: Path, cli: Cli) -> None:
    (workspace / "index").rename(tmp_path / "gone")
    assert f"next: dmlcli index -w {workspace} CATALOG" in cli("status", "-w", workspace).err
    (workspace / "model").rename(tmp_path / "gone too")
    assert f"next: dmlcli train -w {workspace} CATALOG" in cli("status", "-w", workspace).err


@pytest.mark.parametrize("name", ["model/model.json", "embeddings/embeddings.json", "index/index.json"])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"null", b'"x"'])
def test_damage_is_reported_and_no_reason_to_fail(workspace: Path, name: str, data: bytes, cli: Cli) -> None:
    (workspace / name).write_bytes(data)
    found = cli("status", "-w", workspace)
    assert found.code in (0, 4) and "Traceback" not in found.err
    assert "damaged" in found.err or "another version" in found.err
    assert "next: dmlcli query" not in found.err or not name.startswith("index")


@pytest.mark.parametrize("name", ["model", "index"])
def test_what_a_crash_left_between_two_renames_is_seen(workspace: Path, name: str, cli: Cli) -> None:
    expected = cli("status", "-w", workspace).out
    (workspace / name).rename(workspace / f".{name}.previous")
    assert cli("status", "-w", workspace).out == expected


def test_runs_are_reported_with_how_far_they_came(cli: Cli, tmp_path: Path) -> None:
    from dmlcli import runs

    place = tmp_path / "w" / "runs"
    with runs.start(place, "", "catalog", tmp_path / "w" / "model") as first:
        first.log({"candidate": "epoch 1", "epoch": 1, "map@r": 0.25})
    first.finish({"score": 0.5, "chosen": "epoch 1"})
    with runs.start(place, "", "catalog", tmp_path / "w" / "model") as second:
        second.log({"candidate": "epoch 1", "epoch": 1, "map@r": 0.25})
        going = json.loads(cli("status", "-w", tmp_path / "w", "--format", "json").out)["runs"]
    found = cli("status", "-w", tmp_path / "w")
    assert [run["state"] for run in going] == ["done", "running"]
    assert "done, 1 epoch, MAP@R 50.0 %, epoch 1 selected" in found.out
    assert f"{second.record.id}  interrupted, 1 epoch, MAP@R 25.0 %" in found.out
    assert "--resume continues it" in found.err
