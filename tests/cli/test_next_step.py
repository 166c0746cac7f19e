"""Commands in hints name the workspace, index and model that were typed, and are quoted for the shell."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from dmlcli import progress
from dmlcli.cli import next_step
from dmlcli.cli.progress_bar import Teller
from dmlcli.cli.views import train_plan as view
from dmlcli.report.train_plan import PlanReport
from tests.conftest import Cli, make_shop


@pytest.mark.parametrize(
    ("command", "typed", "hint", "completed"),
    [
        ("index", {}, "dmlcli query img.jpg", "dmlcli query img.jpg"),
        ("index", {"workspace": Path("a b")}, "dmlcli query img.jpg", "dmlcli query -w 'a b' img.jpg"),
        ("index", {"output": "o"}, "dmlcli query img.jpg", "dmlcli query --index o img.jpg"),
        ("index", {"to": "milvus:./f.db/c"}, "dmlcli query img.jpg", "dmlcli query --index milvus:./f.db/c img.jpg"),
        ("query", {"index": Path("i")}, "dmlcli index CATALOG", "dmlcli index -o i CATALOG"),
        ("query", {"index": "milvus://h/c"}, "dmlcli index CATALOG", "dmlcli index --to milvus://h/c CATALOG"),
        ("query", {"index": "milvus:c"}, "dmlcli index X --to milvus:c", "dmlcli index X --to milvus:c"),
        ("query", {"model": "m"}, "dmlcli index CATALOG makes it anew", "dmlcli index --model m CATALOG makes it anew"),
        ("query", {"model": "m"}, "dmlcli train CATALOG", "dmlcli train -o m CATALOG"),
        ("train", {"catalog": "c d", "output": "m"}, "dmlcli index CATALOG", "dmlcli index --model m 'c d'"),
        ("train", {"catalog": "c", "workspace": "w"}, "dmlcli train c -w w --resume", "dmlcli train c -w w --resume"),
        (
            "compare",
            {"catalog": "p.csv", "product_column": "the sku", "backbone": "descriptor", "dim": 64},
            "dmlcli train CATALOG --loss 'softmax+0.5*triplet'",
            "dmlcli train --product-column 'the sku' --backbone descriptor --dim 64 p.csv --loss 'softmax+0.5*triplet'",
        ),
        ("train", {"catalog": ["a b", "c"]}, "dmlcli index CATALOG", "dmlcli index 'a b' c"),
        (
            "train",
            {"catalog": ["a", "b"], "merge_products": True},
            "dmlcli index CATALOG",
            "dmlcli index a b --merge-products",
        ),
        (
            "status",
            {"workspace": "w"},
            "dmlcli train CATALOG, or dmlcli index CATALOG without training",
            "dmlcli train -w w CATALOG, or dmlcli index -w w CATALOG without training",
        ),
        ("query", {"workspace": "w"}, "dmlcli status; dmlcli losses NAME", "dmlcli status -w w; dmlcli losses NAME"),
    ],
)
def test_commands_are_completed(command: str, typed: dict[str, Any], hint: str, completed: str) -> None:
    next_step.remember(command, typed | {"images": ["x"], "top_k": 3, "where": None}, [command])
    assert next_step.complete(hint) == completed


def test_the_same_command_without_one_word() -> None:
    next_step.remember("train", {}, ["train", "my photos", "--dry-run", "--dim", "64"])
    assert next_step.again(without="--dry-run") == "dmlcli train 'my photos' --dim 64"


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line.partition("next: ")[2]) for line in text.splitlines() if line.startswith("next: ")]


@pytest.mark.parametrize("options", [["-w", "my work"], ["-w", "my work", "-o", "an index"]])
def test_next_is_a_command_that_works_here(
    plain_model: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    image = make_shop(tmp_path / "shop", 2, 2) / "product-00" / "0.png"
    monkeypatch.chdir(tmp_path)
    made = cli("index", "shop", "--model", plain_model, *options)
    assert made.code == 0
    (words,) = commands(made.err)
    assert words[:2] == ["dmlcli", "query"] and words[-1] == "img.jpg"
    answered = cli(*words[1:-1], image, "-k", 1)
    assert answered.code == 0 and answered.out.split("\t")[3] == "product-00"


def test_the_hint_of_an_error_names_the_workspace_that_was_typed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    for words in (["query", "a.jpg"], ["query", "a.jpg", "-k1"], ["duplicates"]):
        found = cli(*words, "-w", tmp_path / "w")
        assert found.code == 4 and f"hint: dmlcli index -w {tmp_path / 'w'} CATALOG" in found.err


def test_a_dry_run_says_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    progress.listen(Teller(False))
    next_step.remember("train", {}, ["train", "a b", "--dry-run"])
    view.show(PlanReport(1, 1, {"loss": "softmax", "backbone": "descriptor", "tune": "head"}, "none", {}, 0.0, 0))
    assert commands(capsys.readouterr().err) == [["dmlcli", "train", "a b"]]
