"""Folders: a crash leaves the old or the new, never half of one; links, modes and mount points."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from dmlcli import storage
from dmlcli.errors import CannotRun
from dmlcli.storage import folders
from tests.storage.recorded import Recorded, recorded

OWN = ("a", "left", "x")


def filled(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "a").write_text(text)
    return folder


def test_a_new_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    target = filled(tmp_path / "noun", "old")
    (target / "left").write_text("over")
    with storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("new")
        assert (target / "a").read_text() == "old"
    assert {file.name: file.read_text() for file in target.iterdir()} == {"a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["noun"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    with storage.new_folder(tmp_path / "a" / "b" / "noun", OWN) as draft:
        (draft / "x").write_text("y")
    assert (tmp_path / "a" / "b" / "noun" / "x").read_text() == "y"


def test_an_error_leaves_the_old_folder_and_no_litter(tmp_path: Path) -> None:
    target = filled(tmp_path / "noun", "old")
    with pytest.raises(KeyboardInterrupt), storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["noun"]


def test_a_crash_between_the_two_renames_is_repaired(tmp_path: Path) -> None:
    filled(tmp_path / ".noun.previous", "old")
    assert (storage.restore(tmp_path / "noun") / "a").read_text() == "old"
    assert not (tmp_path / ".noun.previous").exists()


def test_what_a_crash_left_does_not_replace_what_is_newer(tmp_path: Path) -> None:
    """Killed after the second rename, before the old one was removed."""
    filled(tmp_path / ".noun.previous", "old")
    target = filled(tmp_path / "noun", "new")
    assert (storage.restore(target) / "a").read_text() == "new"
    with storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("newest")
    assert (target / "a").read_text() == "newest" and not (tmp_path / ".noun.previous").exists()


def test_nothing_to_restore_is_no_error(tmp_path: Path) -> None:
    assert not storage.restore(tmp_path / "noun").exists()


def test_a_folder_with_other_things_in_it_is_never_replaced(tmp_path: Path) -> None:
    precious = tmp_path / "photos"
    precious.mkdir()
    (precious / "a.jpg").write_bytes(b"x")
    with pytest.raises(CannotRun, match=r"other files \(a.jpg\)"), storage.new_folder(precious, ["index.json"]):
        pass
    assert (precious / "a.jpg").read_bytes() == b"x"


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"x")
    with pytest.raises(CannotRun, match="is a file"), storage.new_folder(file, ["index.json"]):
        pass
    assert file.read_bytes() == b"x"


def test_all_is_on_disk_before_the_swap_and_the_swap_before_the_old_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = filled(tmp_path / "noun", "old")
    events = recorded(monkeypatch)
    with storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("new")
        (draft / "x").mkdir()
        (draft / "x" / "b").write_text("new")
        inodes = {name: (draft / name).stat().st_ino for name in ("a", "x", "x/b", ".")}
    swapped = events.index(Recorded("swap", 0))
    synced = [event.inode for event in events[:swapped] if event.kind == "sync"]
    assert set(synced) >= set(inodes.values()), "files, folders and the draft are synced before the swap"
    parent = events.index(Recorded("sync", tmp_path.stat().st_ino), swapped)
    assert parent < events.index(Recorded("remove", 0), swapped), "the swap is on disk before the old one is removed"


@pytest.mark.parametrize("exchanges", [True, False])
def test_the_folder_above_is_synced_after_the_swap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool
) -> None:
    target = filled(tmp_path / "noun", "old")
    if not exchanges:
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    events = recorded(monkeypatch)
    with storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("new")
        before = len(events)
    assert Recorded("sync", tmp_path.stat().st_ino) in events[before:]
    assert (target / "a").read_text() == "new" and [path.name for path in tmp_path.iterdir()] == ["noun"]


def test_folders_made_above_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = recorded(monkeypatch)
    with storage.new_folder(tmp_path / "a" / "b" / "noun", OWN):
        pass
    assert {tmp_path.stat().st_ino, (tmp_path / "a").stat().st_ino} <= {event.inode for event in events}


def test_a_folder_that_is_a_link_is_replaced_where_the_link_leads(tmp_path: Path) -> None:
    """On a larger disk, say: draft, lock and swap are there, and the link stays."""
    (tmp_path / "large").mkdir()
    real = filled(tmp_path / "large" / "real", "old")
    link = tmp_path / "index"
    link.symlink_to(real)
    with storage.only_writer(link), storage.new_folder(link, OWN) as draft:
        (draft / "a").write_text("new")
        assert draft.parent == real.parent
        assert (real.parent / ".real.lock").exists(), "two names of one folder have one lock"
    assert link.is_symlink() and link.readlink() == real and (real / "a").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "index", "large", "real"]


def test_a_link_to_another_file_system(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "large"], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        (tmp_path / "index").symlink_to(filled(tmp_path / "large" / "real", "old"))
        with storage.new_folder(tmp_path / "index", OWN) as draft:
            (draft / "a").write_text("new")
        assert (tmp_path / "large" / "real" / "a").read_text() == "new" and (tmp_path / "index").is_symlink()
        assert [path.name for path in (tmp_path / "large").iterdir()] == ["real"]
        with pytest.raises(CannotRun, match="mount point"), storage.new_folder(tmp_path / "large", ("real",)):
            pass
        assert (tmp_path / "large" / "real" / "a").exists()
    finally:
        subprocess.run(["umount", tmp_path / "large"], check=True)


def test_a_link_whose_end_is_missing(tmp_path: Path) -> None:
    """A missing end is made; a missing folder around it is a disk that is not mounted."""
    (tmp_path / "index").symlink_to(tmp_path / "later")
    with storage.new_folder(tmp_path / "index", OWN) as draft:
        (draft / "a").write_text("new")
    assert (tmp_path / "later" / "a").read_text() == "new" and (tmp_path / "index").is_symlink()
    (tmp_path / "gone").symlink_to(tmp_path / "unmounted" / "index")
    with pytest.raises(CannotRun, match=r"the folder .*unmounted does not exist") as caught:
        storage.check_replaceable(tmp_path / "gone", OWN)
    assert "mount" in caught.value.hint
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(CannotRun, match="circular symbolic link"):
        storage.check_replaceable(tmp_path / "circle", OWN)


def test_a_killed_swap_behind_a_link_is_repaired(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    filled(tmp_path / "large" / ".real.previous", "old")
    (tmp_path / "index").symlink_to(tmp_path / "large" / "real")
    assert (storage.restore(tmp_path / "index") / "a").read_text() == "old"


@pytest.mark.parametrize("mask, folder, file", [(0o022, 0o755, 0o644), (0o002, 0o775, 0o664), (0o077, 0o700, 0o600)])
def test_a_new_folder_has_the_rights_of_the_umask(tmp_path: Path, mask: int, folder: int, file: int) -> None:
    before = os.umask(mask)
    try:
        with storage.new_folder(tmp_path / "noun", OWN) as draft:
            os.close(os.open(draft / "a", os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
            (draft / "x").mkdir()
    finally:
        os.umask(before)
    modes = {name: stat.S_IMODE((tmp_path / "noun" / name).stat().st_mode) for name in (".", "a", "x")}
    assert modes == {".": folder, "a": file, "x": folder}


def test_a_private_folder_stays_private(tmp_path: Path) -> None:
    target = filled(tmp_path / "noun", "old")
    target.chmod(0o2750)
    with storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("new")
        assert stat.S_IMODE(draft.stat().st_mode) == 0o2750
    assert stat.S_IMODE(target.stat().st_mode) == 0o2750 and stat.S_IMODE((target / "a").stat().st_mode) == 0o640


def test_drafts_of_dead_processes_are_removed_and_those_of_others_kept(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {"dead": f".noun.{dead.pid}-0a-0.tmp", "same number": f".noun.{os.getpid()}-0a-0.tmp"}
    names |= {
        "alive": f".noun.{os.getppid()}-0a-0.tmp",
        "other": ".noun.notes.tmp",
        "else": f".noun2.{dead.pid}-0a-0.tmp",
    }
    for name in names.values():
        (tmp_path / name).mkdir()
    with storage.new_folder(tmp_path / "noun", OWN):
        pass
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"noun", names["alive"], names["other"], names["else"]}


def test_a_folder_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(CannotRun, match="file is a file, not a folder"),
        storage.new_folder(tmp_path / "file" / "i", OWN),
    ):
        pass
    with pytest.raises(CannotRun, match="file is a file, not a folder"):
        storage.make_folder(tmp_path / "file" / "w")


def test_a_very_long_name(tmp_path: Path) -> None:
    target = tmp_path / ("ä" * 127)  # 254 bytes
    with storage.only_writer(target), storage.new_folder(target, OWN) as draft:
        (draft / "a").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    with pytest.raises(CannotRun, match="file name too long"), storage.new_folder(tmp_path / ("x" * 256), OWN):
        pass
