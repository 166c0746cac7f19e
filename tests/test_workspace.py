"""The workspace is found as git finds its own, and made only where something is to be written."""

from pathlib import Path

import numpy as np
import pytest

from dmlcli import embeddings, workspace
from dmlcli.errors import CannotRun
from tests.conftest import make_embeddings


def test_the_nearest_one_above_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dmlcli").mkdir()
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert workspace.find() == workspace.Workspace(tmp_path / ".dmlcli")
    (tmp_path / "a" / ".dmlcli").mkdir()
    assert workspace.find() == workspace.Workspace(tmp_path / "a" / ".dmlcli")


def test_the_environment_names_one_and_the_option_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (".dmlcli", "environment", "option"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DMLCLI_WORKSPACE", str(tmp_path / "environment"))
    assert workspace.need().folder == tmp_path / "environment"
    assert workspace.need(tmp_path / "option").folder == tmp_path / "option"


def test_looking_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert workspace.find() is None
    with pytest.raises(CannotRun, match="no workspace found in this folder or above it") as caught:
        workspace.need()
    assert "dmlcli train" in caught.value.hint
    with pytest.raises(CannotRun, match="no workspace found in"):
        workspace.need(tmp_path / "named")
    assert not list(tmp_path.iterdir())


def test_making_one_here_or_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert workspace.make().folder == tmp_path / ".dmlcli" == workspace.make().folder
    assert workspace.make(tmp_path / "a" / "b").folder.is_dir()
    monkeypatch.setenv("DMLCLI_WORKSPACE", str(tmp_path / "c"))
    assert workspace.make().folder == tmp_path / "c"


def test_a_place_where_none_can_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotRun, match="is a file, not a folder") as caught:
        workspace.make(tmp_path / "file" / "w")
    assert "-w" in caught.value.hint


def test_known_embeddings_are_those_that_can_be_read(tmp_path: Path) -> None:
    place = workspace.Workspace(tmp_path)
    embeddings.save(place.embeddings, make_embeddings(np.eye(2), ["a", "b"], model="one"))
    embeddings.save(place.evaluated / "queries", make_embeddings(np.eye(2), ["a", "b"], model="two"))
    (place.evaluated / "gallery").mkdir()
    (place.evaluated / "gallery" / "embeddings.json").write_text("broken")
    assert [known.model for known in place.known(tmp_path / "nowhere")] == ["one", "two"]


def test_one_of_another_user_is_refused_unless_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".dmlcli").mkdir()
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    monkeypatch.setattr("os.geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(CannotRun, match=r"/\.dmlcli belongs to"):
        workspace.find()
    assert workspace.need(tmp_path / ".dmlcli").folder == tmp_path / ".dmlcli"
    monkeypatch.setenv("DMLCLI_SAFE_DIRECTORY", str(tmp_path))
    assert workspace.need().folder == tmp_path / ".dmlcli"
    monkeypatch.delenv("DMLCLI_SAFE_DIRECTORY")
    monkeypatch.setenv("DMLCLI_WORKSPACE", str(tmp_path / ".dmlcli"))
    assert workspace.need().folder == tmp_path / ".dmlcli"


def test_a_workspace_named_by_the_variable_is_named_in_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DMLCLI_WORKSPACE", str(tmp_path / "typo"))
    with pytest.raises(CannotRun, match=rf"no workspace found in {tmp_path}/typo \(set by DMLCLI_WORKSPACE\)"):
        workspace.need()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DMLCLI_WORKSPACE", str(tmp_path / "file" / "w"))
    with pytest.raises(CannotRun, match=r"file/w \(set by DMLCLI_WORKSPACE\): .* is a file, not a folder"):
        workspace.make()
    assert workspace.make(needed=False).folder == tmp_path / "file" / "w"


def test_a_deleted_current_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(CannotRun, match="the current folder has been deleted"):
        workspace.find()
    (tmp_path / "w").mkdir()
    assert workspace.need(tmp_path / "w").folder == tmp_path / "w"
    monkeypatch.chdir(tmp_path)
