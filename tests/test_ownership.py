"""Files that are found by walking up are obeyed only where they belong to the right user."""

import os
from pathlib import Path

import pytest

from dmlcli import ownership
from dmlcli.errors import CannotRun


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of this user."""
    (tmp_path / "dmlcli.toml").write_text("")
    return tmp_path / "dmlcli.toml"


@pytest.mark.parametrize(
    ("user", "owner", "sudo", "obeyed"),
    [
        (1000, 1000, None, True),
        (1000, 1001, None, False),
        (1000, 0, None, False),  # as git has it: what root left is not yours either
        (1000, 1001, "1001", False),  # only root may say who called sudo
        (0, 0, None, True),
        (0, 1000, None, False),  # root in a container, in a folder of its host
        (0, 1000, "1000", True),
        (0, 0, "1000", True),
        (0, 1001, "1000", False),
        (0, 1000, "", False),
        (0, 1000, "-1", False),
        (0, 1000, "\u0661", False),
    ],
)
def test_who_is_trusted(
    user: int, owner: int, sudo: str | None, obeyed: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(Path, "lstat", lambda path: os.stat_result((0, 0, 0, 0, owner, 0, 0, 0, 0, 0)))
    monkeypatch.delenv("SUDO_UID", raising=False)
    if sudo is not None:
        monkeypatch.setenv("SUDO_UID", sudo)
    if obeyed:
        ownership.check_owner(file, "settings")
        return
    with pytest.raises(CannotRun, match=rf"{file} belongs to .*user {owner}.*you are .*user {user}") as caught:
        ownership.check_owner(file, "settings")
    assert f"{ownership.VARIABLE}='{file.parent}'" in caught.value.hint


@pytest.mark.parametrize(
    ("listed", "obeyed"),
    [
        ("*", True),
        ("{here}", True),
        ("{here}/", True),
        ("/nowhere:{here}", True),
        ("{above}/*", True),
        ("~", True),
        ("{above}", False),
        ("{here}x", False),
        ("", False),
        ("/nowhere/*", False),
    ],
)
def test_folders_that_are_listed_are_safe(
    listed: str, obeyed: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    monkeypatch.setenv("HOME", str(file.parent))
    monkeypatch.setenv(ownership.VARIABLE, listed.format(here=file.parent, above=file.parent.parent))
    if obeyed:
        ownership.check_owner(file, "settings")
    else:
        with pytest.raises(CannotRun):
            ownership.check_owner(file, "settings")


def test_of_a_link_the_link_counts(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that this user made was meant, whoever owns what it leads to; and another user's was not."""
    (tmp_path / "link").symlink_to(file)
    user, stat = os.geteuid(), Path.stat
    other = os.stat_result((0, 0, 0, 0, user + 1, 0, 0, 0, 0, 0))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", lambda path, *, follow_symlinks=True: other if follow_symlinks else path.lstat())
        patched.setattr(Path, "lstat", lambda path: stat(path, follow_symlinks=False))
        ownership.check_owner(tmp_path / "link", "settings")
    monkeypatch.setattr(Path, "lstat", lambda path: other)
    with pytest.raises(CannotRun, match="belongs to"):
        ownership.check_owner(tmp_path / "link", "settings")
