"""The command line contract: exit codes, errors with hints, a quiet closed pipe, and what start-up loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dmlcli
from tests.conftest import Cli, Mission, process

COMMANDS = (
    "train",
    "embed",
    "index",
    "query",
    "eval",
    "compare",
    "sweep",
    "doctor",
    "duplicates",
    "losses",
    "backbones",
    "models",
    "status",
)
LOADED = (
    "import json, sys\n"
    "from dmlcli.cli.main import run\n"
    "code = run(sys.argv[1:])\n"
    "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)\n"
)


def loaded(*arguments: object, cwd: Path) -> set[str]:
    """The packages that one command line has loaded at its end, and our own modules."""
    command = [sys.executable, "-c", LOADED, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    code, names = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    return {name if name.startswith("dmlcli.") else name.partition(".")[0] for name in names}


def modules(names: set[str], package: str) -> set[str]:
    """Those of a package of our own."""
    return {name.removeprefix(f"dmlcli.{package}.") for name in names if name.startswith(f"dmlcli.{package}.")}


HEAVY = {"torch", "torchvision", "faiss", "optuna", "pandas", "onnxruntime", "PIL", "jinja2"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["losses"], ["losses", "triplet"]])
def test_start_up_loads_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    assert not loaded(*arguments, cwd=tmp_path) & HEAVY


def test_help_loads_no_more_than_it_shows(tmp_path: Path) -> None:
    """No records, no views, nothing that checks values; and one command where one is asked for."""
    lines: list[tuple[list[str], set[str]]] = [(["--help"], set())]
    lines += [([command, "--help"], {command}) for command in ("train", "sweep")]
    for arguments, commands in lines:
        names = loaded(*arguments, cwd=tmp_path)
        assert not names & (HEAVY | {"numpy", "rich", "pydantic"}) and modules(names, "commands") == commands
        assert not modules(names, "report") and not modules(names, "cli.views")


def test_status_of_a_workspace_loads_nothing_heavy(mission: Mission) -> None:
    assert not loaded("status", cwd=mission.folder) & (HEAVY - {"PIL"})


def test_query_loads_neither_torch_nor_pandas(mission: Mission) -> None:
    names = loaded("query", mission.images()[0], "--format", "jsonl", cwd=mission.folder)
    heavy = {"torch", "torchvision", "pandas", "faiss", "typer", "pydantic", "rich", "PIL", "jinja2", "concurrent"}
    heavy |= {"pymilvus", "grpc", "tarfile", "openpyxl", "dmlcli.path_lists", "dmlcli.search.shown_columns"}
    assert not names & heavy and {"numpy", "onnxruntime"} <= names
    assert modules(names, "commands") == modules(names, "cli.views") == {"query"}
    assert modules(names, "report") == {"query", "skipped"}
    assert modules(names, "storage") == {"checksums", "paths", "readers", "records"}


def test_help_names_every_command_with_its_summary(cli: Cli) -> None:
    shown = cli("--help")
    assert shown.code == 0 and all(f"\n  {command} " in shown.out for command in COMMANDS) and shown.err == ""
    for command in COMMANDS:
        report = cli(command, "--help")
        assert report.code == 0 and "Examples:" in report.out and f"dmlcli {command}" in report.out


def test_no_arguments_show_the_help(cli: Cli) -> None:
    shown = cli()
    assert shown.code == 2 and "Usage: dmlcli" in shown.out + shown.err and "error" not in shown.err


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    done = process("--version", cwd=tmp_path)
    assert done.stdout.decode() == f"dmlcli {dmlcli.__version__}\n" and done.returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["trian", "x"],
        ["train"],
        ["train", "x", "--nonsense"],
        ["query", "x.jpg", "-k", "0"],
        ["query", "x.jpg", "-k", "many"],
        ["query", "x.jpg", "--min-score", "2"],
        ["query", "x.jpg", "--format", "xml"],
        ["train", "x", "--tune", "some"],
        ["train", "x", "--loss", "proxi-anchor"],
        ["train", "x", "--tune", "none", "--dim", "8"],
        ["eval", "x", "--query-split", "test"],
        ["losses", "tripplet"],
        ["query"],
    ],
)
def test_what_is_typed_wrong_exits_2_with_a_hint(
    arguments: list[str], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = cli(*arguments)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("dmlcli: error: ") and "\nhint: " in found.err and "Traceback" not in found.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["train", "x", "--tune", "hed"], "invalid value for --tune: 'hed' (choose from none, head, ", "mean head?"),
        (["train", "x", "--for", "known"], "invalid value for --for: 'known' (choose from seen, ", "known: seen, "),
        (["train", "x", "--dim", "1"], "invalid --dim 1: must be at least 2", "Embedding dimension."),
        (["train", "x", "--dim", "many"], "invalid value for --dim: 'many' (expected an integer)", "Embedding "),
        (["train", "x", "--batch-size", "-12345678"], "invalid --batch-size -12345678: must be at least 2", "Batch"),
        (["train", "x", "--learning-rate", "-1e-07"], "invalid --learning-rate -1e-07: must be at least 0", "Learn"),
        (["train", "x", "--learning-rate", "inf"], "invalid --learning-rate inf: must be a finite number", "Learn"),
        (["index", "x", "--target-recall", "nan"], "invalid --target-recall nan: must be a finite number", "Recall"),
        (["query", "x", "-k", "0"], "invalid --top-k 0: must be at least 1", "Number of hits"),
        (["query", "x", "--format", "yaml"], "invalid value for --format: 'yaml' (choose from table, ", "known: "),
        (["duplicates", "--threshold", "2"], "invalid --threshold 2: must be at most 1", "Cosine similarity"),
    ],
)
def test_an_invalid_value_is_named_with_what_is_valid(arguments: list[str], message: str, hint: str, cli: Cli) -> None:
    found = cli(*arguments)
    assert found.code == 2 and message in found.err and hint in found.err.split("hint: ")[1]


def test_usage_errors_are_json_if_json_is_requested(cli: Cli) -> None:
    for arguments in (["query", "x.jpg", "-k", "0", "--format", "json"], ["eval", "--nonsense", "--format=json"]):
        report = json.loads(cli(*arguments).err)
        assert report["exit_code"] == 2 and report["error"] and report["hint"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("search", "query"),
        ("find", "query"),
        ("fit", "train"),
        ("predict", "query"),
        ("evaluate", "eval"),
        ("version", "--version"),
        ("trian", "train"),
    ],
)
def test_a_command_of_another_program_is_answered_with_ours(word: str, meant: str, cli: Cli) -> None:
    found = cli(word, "x")
    assert (found.code, found.out) == (2, "") and "o such command" in found.err and meant in found.err


def test_help_is_a_word_and_version_has_a_letter(cli: Cli) -> None:
    assert cli("help").out == cli("--help").out != ""
    assert cli("help", "query").out == cli("query", "--help").out != ""
    assert cli("-V").out == cli("--version").out != ""
    assert cli("help", "nonsense").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "nowhere"],
        ["index", "nowhere"],
        ["embed", "nowhere"],
        ["eval", "nowhere"],
        ["eval"],
        ["index"],
        ["query", "x.jpg"],
        ["eval", "nowhere.npz"],
        ["index", "nowhere.npz"],
    ],
)
def test_what_is_not_there_exits_4_with_a_hint_and_leaves_no_workspace(
    arguments: list[str], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = cli(*arguments)
    assert (found.code, found.out) == (4, "")
    assert "dmlcli: error: " in found.err and "\nhint: " in found.err and "Traceback" not in found.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "last", "offered"),
    [
        ("dmlcli qu", 1, "query"),
        ("dmlcli train x --loss-f", 3, "--loss-factor"),
        ("dmlcli train --loss tri", 3, "triplet"),
    ],
)
def test_completion_knows_commands_options_and_values(words: str, last: int, offered: str, tmp_path: Path) -> None:
    done = process(cwd=tmp_path, _DMLCLI_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(last))
    assert done.stdout.decode().split() == [offered]


def test_a_command_behind_dashes_is_a_command(cli: Cli) -> None:
    assert "triplet" in cli("--", "losses", "triplet").out


def test_a_trace_is_shown_only_if_requested(cli: Cli, tmp_path: Path) -> None:
    assert "Traceback" not in cli("train", tmp_path / "nowhere").err
    report = cli("train", tmp_path / "nowhere", "--debug").err
    assert "Traceback" in report and "dmlcli: error: " in report and "'nowhere' not found" in report


@pytest.mark.parametrize("arguments", [["losses"], ["losses", "triplet"], ["status"], ["--help"], ["--version"]])
def test_a_closed_pipe_is_silent(arguments: list[str], mission: Mission) -> None:
    """The reader is gone before the first word."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "dmlcli", *arguments]
    done = subprocess.run(
        command, cwd=mission.folder, stdout=writer, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False
    )
    os.close(writer)
    report = [
        line for line in done.stderr.decode().splitlines() if not line.startswith(("next: ", "dmlcli: warning: "))
    ]
    assert (report, done.returncode) == ([], 0)


def test_losses_are_listed_and_reported_in_full(cli: Cli) -> None:
    listed = cli("losses")
    assert listed.code == 0
    for name in ("proxy-anchor", "contrastive", "triplet", "multi-similarity", "n-pair"):
        assert f" {name} " in listed.out
    report = json.loads(cli("losses", "triplet", "--format", "json").out)
    assert [loss["name"] for loss in report["losses"]] == ["triplet"] and "margin" in json.dumps(report)
    assert "margin" in cli("losses", "triplet").out


def test_quiet_says_nothing_beside_the_result(cli: Cli, shop: Path, plain_model: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    assert "created the workspace" in cli("embed", shop, "--model", plain_model, "-w", place).err
    found = cli("embed", shop, "--model", plain_model, "-w", tmp_path / "w2", "--quiet")
    assert found.code == 0 and found.err == "" and "12" in found.out


def test_the_commands_are_functions_of_the_package(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    made = dmlcli.index(shop, model=plain_model, workspace=place)
    assert (made.images, made.products) == (12, 4)
    report = dmlcli.query([str(shop / "product-02" / "1.png")], top_k=1, workspace=place)
    (answer,) = report.answers
    assert answer.hits[0].product == "product-02"
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = dmlcli.trian


def test_the_functions_take_paths_as_text(shop: Path, plain_model: Path, tmp_path: Path) -> None:
    place, model = str(tmp_path / "w"), str(plain_model)
    assert dmlcli.embed(str(shop), model=model, workspace=place).images == 12
    assert dmlcli.index(str(shop), model=model, workspace=place).images == 12
    assert dmlcli.eval(str(shop), model=model, workspace=place).queries == 12
