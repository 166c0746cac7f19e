"""dmlcli.toml and DMLCLI_*: found here or above, the nearer and the more outspoken wins, and nothing is misread."""

import json
from pathlib import Path
from typing import Any

import pytest

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


def told(cli: Cli, project: Path, *options: object) -> dict[str, Any]:
    found = cli("eval", project / "vectors.npz", *options)
    assert found.code == 0, found.err
    answer: dict[str, Any] = json.loads(found.out)
    return answer


def test_the_file_above_is_read_and_options_win(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "dmlcli.toml").write_text('format = "json"\nseed = 3\n[eval]\nseed = 4\n')
    assert told(cli, project)["seed"] == 4
    assert told(cli, project, "--seed", 5)["seed"] == 5
    monkeypatch.setenv("DMLCLI_SEED", "6")
    assert told(cli, project)["seed"] == 6
    monkeypatch.setenv("DMLCLI_EVAL_SEED", "7")
    assert told(cli, project)["seed"] == 7
    assert told(cli, project, "--seed", 5)["seed"] == 5


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
        ("[eval]\nepochs = 3", 2, "[eval] sets 'epochs'"),
        ("[trian]\nepochs = 3", 2, "did you mean train"),
        ("seed = ", 4, "cannot be read"),
        ("seed = 'three'", 2, "--seed"),
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
    assert found.code == 2 and "$DMLCLI_SEDE" in found.err and "did you mean seed" in found.err


def test_settings_of_a_recipe_come_before_the_recipe_that_is_named(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, shop: Path
) -> None:
    """As if typed: the file's clip is wrong, and takes the place of the recipe's."""
    (project / "dmlcli.toml").write_text('[train]\nclip = "mean:3"\n')
    found = cli("train", shop, "--recipe", "ms")
    assert found.code == 2 and "--clip takes no 'mean'" in found.err
