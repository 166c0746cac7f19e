"""The JSON Schemas describe what every command prints, to the last key."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from jsonschema import Draft202012Validator

import dmlcli
from dmlcli import model, storage
from dmlcli.cli.global_options import COMMANDS
from dmlcli.report import schema
from docs.schemas import RECORDS
from tests.conftest import SAMPLE, Cli, Mission


@pytest.fixture(scope="module")
def shop(mission: Mission, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained workspace beside its photos, and mugs with copies and a damaged file."""
    folder = tmp_path_factory.mktemp("schemas")
    shutil.copytree(mission.workspace, folder / ".dmlcli", ignore=shutil.ignore_patterns("runs"))
    shutil.copytree(mission.catalog, folder / "catalog")
    for product in sorted((SAMPLE / "catalog" / "mug").iterdir())[:6]:
        for photo in ("1.jpg", "2.jpg", "3.jpg"):
            (folder / "mugs" / product.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(product / photo, folder / "mugs" / product.name)
        shutil.copy(product / "1.jpg", folder / "mugs" / product.name / "copy.jpg")
    (folder / "mugs" / "damaged.jpg").write_bytes(b"no picture")
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / "weights.pth")
    models = folder / ".dmlcli" / "models"
    for other in OTHERS:  # the same model under other names
        with storage.new_folder(models / other, model.FILES) as draft:
            for file in (folder / ".dmlcli" / "model").iterdir():
                shutil.copy(file, draft)
            record = json.loads((draft / "model.json").read_text()) | {"fingerprint": other}
            (draft / "model.json").write_text(json.dumps(record))
    dmlcli.index(folder / "mugs", workspace=folder / ".dmlcli", output=folder / "with-copies")
    return folder


OTHERS = ("0" * 16, "1" * 16)  # the fingerprints of more models
LINES = {
    "train": "train mugs --backbone descriptor --tune none -o model --no-index",
    "train_plan": "train mugs --backbone descriptor --tune none --dry-run",
    "embed": "embed mugs -o mugs.npz",
    "index": "index mugs -o mugs.index --auto",
    "eval": "eval catalog --all --metrics all --rerank all --against .dmlcli/frozen --published sop "
    "--fail-under recall@1=1 --html page.html",
    "eval_plan": "eval catalog --all --dry-run",
    "compare": "compare mugs --losses nca --epochs 1 --views 1 --backbone descriptor",
    "compare_backbones": "compare mugs --backbones descriptor,squeezenet1_1=weights.pth --views 1",
    "query": "query mugs --explain --min-score 0.5",
    "doctor": "doctor mugs",
    "duplicates": "duplicates --index with-copies",
    "losses": "losses",
    "backbones": "backbones",
    "models": "models",
    "models_use": f"models use {OTHERS[0]}",
    "models_diff": f"models diff {OTHERS[0]} {OTHERS[1]}",
    "status": "status",
}
JSONL = {f"{command}_line": LINES[command] for command in ("query", "doctor", "duplicates")}
TRAININGS = {
    "train": "train catalog --backbone descriptor --views 1 --epochs 1 -o trained --no-index",
    "train_plan": "train catalog --backbone descriptor --views 1 --epochs 1 --dry-run",
}


def mistakes(name: str, value: Any) -> list[str]:
    """What a schema has against a value."""
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema(name)).iter_errors(value)]


def test_every_command_is_tried() -> None:
    others = {"error", "serve", "sweep"}  # the last two: tests/server/test_run.py, tests/commands/test_sweep.py
    assert {*LINES, *JSONL, *others} == RECORDS.keys() and {*COMMANDS} <= LINES.keys() | others


@pytest.mark.parametrize("name", RECORDS)
def test_a_schema_is_one_and_describes_every_property(name: str) -> None:
    found = schema(name)
    Draft202012Validator.check_schema(found)
    for part in (found, *found.get("$defs", {}).values()):
        assert part["description"] and part["additionalProperties"] is False
        assert all(value["description"].endswith(".") for value in part["properties"].values())


@pytest.mark.parametrize("name", LINES)
def test_a_command_prints_what_its_schema_says(
    name: str, shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    found = cli(*LINES[name].split(), "--format", "json")
    assert found.code in (0, 1, 3), found.err
    report = json.loads(found.out)
    assert not mistakes(name, report)
    assert any("'more' was unexpected" in mistake for mistake in mistakes(name, report | {"more": 1}))
    for key in report:
        assert mistakes(name, {other: value for other, value in report.items() if other != key}), key


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_prints_what_its_schema_says(
    name: str, shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop)
    report = json.loads(cli(*TRAININGS[name].split(), "--format", "json").out)
    assert not mistakes(name, report) and (report.get("searches") or report["parts"])


@pytest.mark.parametrize("name", JSONL)
def test_a_line_is_what_its_schema_says(name: str, shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    lines = [json.loads(line) for line in cli(*JSONL[name].split(), "--format", "jsonl").out.splitlines()]
    assert len(lines) > 1
    for line in lines:
        assert not mistakes(name, line)
    assert mistakes(name, lines[0] | {"more": 1})


def test_a_record_within_another_holds_no_unknown_key(shop: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop)
    report = json.loads(cli(*LINES["query"].split(), "--format", "json").out)
    report["answers"][0]["hits"][0]["more"] = 1
    assert len(mistakes("query", report)) == 1


def test_an_error_is_what_its_schema_says(cli: Cli) -> None:
    assert not mistakes("error", json.loads(cli("query", "x.jpg", "-k", "0", "--format", "json").err))


def test_a_schema_that_is_not_there_is_reported_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"'qurey'; known: backbones, .*query, query_line"):
        schema("qurey")
