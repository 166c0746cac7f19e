"""A crash leaves the old or the new, never half of one."""

import json
from pathlib import Path

import pytest

from dmlcli import disk
from dmlcli.errors import CannotRun

OWN = ("a", "left", "x")


def filled(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "a").write_text(text)
    return folder


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = filled(tmp_path / "noun", "old")
    (target / "left").write_text("over")
    with disk.new_folder(target, OWN) as draft:
        (draft / "a").write_text("new")
        assert (target / "a").read_text() == "old"
    assert {file.name: file.read_text() for file in target.iterdir()} == {"a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["noun"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    with disk.new_folder(tmp_path / "a" / "b" / "noun", OWN) as draft:
        (draft / "x").write_text("y")
    assert (tmp_path / "a" / "b" / "noun" / "x").read_text() == "y"


def test_an_error_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    target = filled(tmp_path / "noun", "old")
    with pytest.raises(KeyboardInterrupt), disk.new_folder(target, OWN) as draft:
        (draft / "a").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["noun"]


def test_a_crash_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    filled(tmp_path / ".noun.previous", "old")
    assert (disk.restore(tmp_path / "noun") / "a").read_text() == "old"
    assert not (tmp_path / ".noun.previous").exists()


def test_what_a_crash_left_does_not_replace_what_is_newer(tmp_path: Path) -> None:
    """Killed after the second rename, before the old one was removed."""
    filled(tmp_path / ".noun.previous", "old")
    target = filled(tmp_path / "noun", "new")
    assert (disk.restore(target) / "a").read_text() == "new"
    with disk.new_folder(target, OWN) as draft:
        (draft / "a").write_text("newest")
    assert (target / "a").read_text() == "newest" and not (tmp_path / ".noun.previous").exists()


def test_nothing_to_restore_is_no_error(tmp_path: Path) -> None:
    assert not disk.restore(tmp_path / "noun").exists()


def test_json_is_written_whole_and_readable_by_people(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    disk.write_json(file, {"name": "Küchenlampe"})
    disk.write_json(file, {"name": "Küchenlampe", "n": 2})
    assert json.loads(file.read_text(encoding="utf-8")) == {"name": "Küchenlampe", "n": 2}
    assert "Küchenlampe" in file.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_folder_with_other_things_in_it_is_never_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "photos"
    precious.mkdir()
    (precious / "a.jpg").write_bytes(b"x")
    with pytest.raises(CannotRun, match=r"other things \(a.jpg\)"), disk.new_folder(precious, ["index.json"]):
        pass
    assert (precious / "a.jpg").read_bytes() == b"x"


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"x")
    with pytest.raises(CannotRun, match="is a file"), disk.new_folder(file, ["index.json"]):
        pass
    assert file.read_bytes() == b"x"
