"""dmlcli.toml and DMLCLI_*: found here or above, the nearer and the more outspoken wins, and nothing is misread."""

import json
from pathlib import Path
from typing import Any

import pytest

from dmlcli.cli import settings
from dmlcli.errors import UsageError
from tests.conftest import Cli, make_embeddings


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ten images' embeddings in deep/er, which is the current one."""
    from dmlcli.embeddings import save

    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    save(
        tmp_path / "vectors.npz", make_embeddings([[n, 1, n % 2] for n in range(10)], [str(n // 2) for n in range(10)])
    )
    return tmp_path


def report(cli: Cli, project: Path, *options: object) -> dict[str, Any]:
    found = cli("eval", project / "vectors.npz", *options)
    assert found.code == 0, found.err
    answer: dict[str, Any] = json.loads(found.out)
    return answer


def test_the_file_above_is_read_and_options_win(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dmlcli.toml").write_text('format = "json"\nseed = 3\n[eval]\nseed = 4\n')
    assert report(cli, project)["seed"] == 4
    assert report(cli, project, "--seed", 5)["seed"] == 5
    monkeypatch.setenv("DMLCLI_SEED", "6")
    assert report(cli, project)["seed"] == 6
    monkeypatch.setenv("DMLCLI_EVAL_SEED", "7")
    assert report(cli, project)["seed"] == 7
    assert report(cli, project, "--seed", 5)["seed"] == 5


def test_paths_are_relative_to_the_file(cli: Cli, project: Path) -> None:
    (project / "dmlcli.toml").write_text('[eval]\ncatalog = "vectors.npz"\nformat = "json"\n')
    found = cli("eval")
    assert found.code == 0 and json.loads(found.out)["queries"] == 10, found.err


def test_an_address_is_no_path(cli: Cli, project: Path) -> None:
    (project / "dmlcli.toml").write_text('[query]\nindex = "milvus://h ost/shop"\n')
    found = cli("query", "--like", "x")
    assert found.code == 2 and "milvus:/h ost/shop names no Milvus server" in found.err


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("sede = 3", 2, "did you mean seed"),
        ("[eval]\nepochs = 3", 2, "[eval]: unknown option 'epochs'"),
        ("[trian]\nepochs = 3", 2, "did you mean train"),
        ("seed = ", 4, "cannot be read"),
        ("seed = 'three'", 2, 'dmlcli.toml seed = "three": expected a whole number'),
        ("[eval]\nseed = 1.5", 2, "dmlcli.toml [eval] seed = 1.5: expected a whole number"),
        ("seed = true", 2, "seed = true: expected a whole number"),
        ("seed = [1]", 2, "seed = [1]: expected one value"),
        ("strict = 'perhaps'", 2, 'strict = "perhaps": expected true or false'),
        ("[eval]\nformat = 'jsno'", 2, "did you mean json"),
        ("[eval.x]\nseed = 1", 2, "unknown option 'x'"),
        ("root = 3\nmetrics = 'recal@1'", 2, "(set by"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(cli: Cli, project: Path, text: str, code: int, named: str) -> None:
    (project / "dmlcli.toml").write_text(text)
    found = cli("eval", project / "vectors.npz")
    assert found.code == code and named in found.err, found.err
    assert cli("eval", "--help").code == 0  # help is not in the way of it


def test_an_unknown_variable_is_answered_with_the_nearest(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DMLCLI_SEDE", "1")
    found = cli("status")
    assert found.code == 2 and "DMLCLI_SEDE: unknown option 'sede'" in found.err and "did you mean seed" in found.err


def test_settings_of_a_recipe_come_before_the_recipe_that_is_named(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, shop: Path
) -> None:
    """As if typed: the file's clip is wrong, and takes the place of the recipe's."""
    (project / "dmlcli.toml").write_text('[train]\nclip = "mean:3"\n')
    found = cli("train", shop, "--recipe", "ms")
    assert found.code == 2 and "invalid value for --clip: 'mean'" in found.err
    assert f'(set by {project / "dmlcli.toml"} [train] clip = "mean:3")' in found.err
    typed = cli("train", shop, "--recipe", "ms", "--clip", "mean:4")
    assert typed.code == 2 and "set by" not in typed.err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DMLCLI_SEED", "many", 'DMLCLI_SEED="many": expected a whole number'),
        ("DMLCLI_TOP_K", "0", 'DMLCLI_TOP_K="0": expected a whole number of at least 1'),
        ("DMLCLI_EVAL_FORMAT", "xml", 'DMLCLI_EVAL_FORMAT="xml": expected one of table, json, csv'),
        ("DMLCLI_DUPLICATES_THRESHOLD", "2", 'THRESHOLD="2": expected a number from -1 to 1'),
    ],
)
def test_a_wrong_value_of_a_variable_is_named_by_the_command_that_uses_it(
    name: str, value: str, said: str, cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    command = "query" if "TOP_K" in name else "duplicates" if "DUPL" in name else "eval"
    found = cli(command, *([] if command == "duplicates" else [project / "vectors.npz"]))
    assert found.code == 2 and said in found.err, found.err
    other = cli("losses")
    assert other.code == 0, other.err


def test_numbers_flags_and_lists_are_taken(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dmlcli.toml").write_text(
        "[eval]\nfail-under = 'recall@1=0.99'\ncount-missing-as-zero = true\nformat = 'json'\n"
    )
    assert cli("eval", project / "vectors.npz").code == 1
    (project / "dmlcli.toml").write_text("[eval]\nfail_under = ['recall@1=0', 'map@r=0']\nformat = 'json'\n")
    assert report(cli, project)["failed"] == []
    monkeypatch.setenv("DMLCLI_QUERY_SPLIT", "none")  # an option of eval, although query is a command
    found = cli("eval", project / "vectors.npz")
    assert found.code == 2 and "--query-split and --gallery-split" in found.err


def test_the_home_folder_is_expanded(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    (project / "dmlcli.toml").write_text("[eval]\ncatalog = '~/vectors.npz'\nformat = 'json'\n")
    assert json.loads(cli("eval").out)["queries"] == 10
    (project / "dmlcli.toml").unlink()
    for option in ("--workspace=~/nowhere", "-w~/nowhere"):
        assert f"no workspace found in {project}/nowhere" in cli("status", option).err
        assert f"no workspace found in {project}/nowhere" in cli("query", "--like", "x", option).err
    monkeypatch.setenv("DMLCLI_WORKSPACE", "~/nowhere")
    assert f"{project}/nowhere (set by DMLCLI_WORKSPACE)" in cli("query", "--like", "x").err


def test_a_file_of_another_user_is_refused(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dmlcli.toml").write_text("format = 'json'\n")
    monkeypatch.setattr("os.geteuid", lambda: (project / "dmlcli.toml").stat().st_uid + 1)
    found = cli("eval", project / "vectors.npz")
    assert found.code == 4 and f"{project / 'dmlcli.toml'} belongs to " in found.err
    assert f"DMLCLI_SAFE_DIRECTORY='{project}'" in found.err
    assert cli("eval", "--help").code == 0
    monkeypatch.setenv("DMLCLI_SAFE_DIRECTORY", str(project))
    assert report(cli, project)["queries"] == 10


def test_a_deleted_folder_holds_no_settings(
    cli: Cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli("losses", "triplet").code == 0
    assert cli("eval", project / "vectors.npz", "--format", "json").code in (0, 4)
    for words in (["status"], ["query", "--like", "x"], ["query", "--like", "x", "--debug"]):
        found = cli(*words)
        assert found.code == 4 and "the current folder has been deleted" in found.err
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("option", "value", "message", "named"),
    [
        ("clip", "mean:3", "invalid value for --clip: 'mean'", True),
        ("catalog", "photos.csv", "there is no folder /shop/photos.csv", True),
        ("backbone", "resnet5", "unknown backbone 'resnet5'", True),
        ("format", "json", "there is no file x.json", False),
        ("loss", "triplet", "--loss-factor is -1", False),
        ("top_k", 10, "10 images", False),
    ],
)
def test_an_error_names_the_setting_that_it_complains_of(option: str, value: Any, message: str, named: bool) -> None:
    error = UsageError(message, "hint")
    found = {option: settings.ConfiguredValue(value, "dmlcli.toml", None)}
    settings.name_source(error, found, [])
    assert str(error) == message  # typed after all
    settings.name_source(error, found, [option])
    assert str(error) == (f"{message} (set by dmlcli.toml)" if named else message)
