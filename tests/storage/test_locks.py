"""Locks: one writer at a time, whatever lies where the lock file goes."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dmlcli import storage
from dmlcli.errors import CannotRun


def test_the_second_writer_is_refused_and_the_file_is_gone_in_the_end(tmp_path: Path) -> None:
    with storage.only_writer(tmp_path / "i"):
        assert (tmp_path / ".i.lock").read_text().strip() == str(os.getpid())
        said = rf"being written by another process \({os.getpid()}\)"
        with pytest.raises(CannotRun, match=said) as caught, storage.only_writer(tmp_path / "i"):
            pass
        assert f"kill {os.getpid()}" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_lock_that_is_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / ".i.lock").symlink_to(precious)
    with pytest.raises(CannotRun, match="it is a symbolic link"), storage.only_writer(tmp_path / "i"):
        pass
    assert precious.read_text() == "mine" and (tmp_path / ".i.lock").is_symlink()


def test_a_lock_that_leads_nowhere_makes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".i.lock").symlink_to(tmp_path / "new")
    with pytest.raises(CannotRun, match="it is a symbolic link"), storage.only_writer(tmp_path / "i"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_lock_that_is_another_name_of_a_file_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("1234")
    (tmp_path / ".i.lock").hardlink_to(tmp_path / "precious")
    with pytest.raises(CannotRun, match="it has another name"), storage.only_writer(tmp_path / "i"):
        pass
    assert (tmp_path / "precious").read_text() == "1234"


@pytest.mark.parametrize("kind", ["text", "pipe", "folder"])
def test_what_is_no_lock_is_neither_emptied_nor_waited_for(tmp_path: Path, kind: str) -> None:
    file = tmp_path / ".i.lock"
    if kind == "text":
        file.write_text("notes of mine")
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    with pytest.raises(CannotRun, match="lock"), storage.only_writer(tmp_path / "i"):
        pass
    assert file.exists() and (kind != "text" or file.read_text() == "notes of mine")


def test_a_lock_that_a_crash_left_is_taken(tmp_path: Path) -> None:
    for left in ("", "4711\n", "\0\0\0\0"):
        (tmp_path / ".i.lock").write_text(left)
        with storage.only_writer(tmp_path / "i"):
            assert (tmp_path / ".i.lock").read_text() == f"{os.getpid()}\n"


def test_the_holder_s_number_stays_while_others_try(tmp_path: Path) -> None:
    """Nothing is truncated by a process that does not own the lock."""
    with storage.only_writer(tmp_path / "i"):
        for _ in range(3):
            with pytest.raises(CannotRun), storage.only_writer(tmp_path / "i"):
                pass
        assert (tmp_path / ".i.lock").read_text() == f"{os.getpid()}\n"


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_nobody_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, the holder leaves with its file, and a third process locks a new one."""
    file, flock = tmp_path / ".i.lock", fcntl.flock
    third: list[int] = []

    def late(handle: int, how: int) -> None:
        if not third:
            file.unlink()
            third.append(os.open(file, os.O_RDWR | os.O_CREAT))
            flock(third[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(CannotRun, match="another process"), storage.only_writer(tmp_path / "i"):
        pass
    assert file.exists(), "the third one's lock stays"
    os.close(third[0])


RACE = """
import sys, time
from pathlib import Path
from dmlcli import storage
from dmlcli.errors import CannotRun
place, turns = Path(sys.argv[1]), 0
while turns < 25:
    try:
        with storage.only_writer(place / "i"):
            inside = place / "inside"
            inside.mkdir()  # raises where another one is inside
            number = int((place / "count").read_text())
            (place / "count").write_text(str(number + 1))
            inside.rmdir()
        turns += 1
    except CannotRun:
        time.sleep(0.0005)
"""


def test_three_processes_take_turns(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    several: list[Any] = [
        subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path)], stderr=subprocess.PIPE) for _ in range(3)
    ]
    for one in several:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said.decode()
    assert (tmp_path / "count").read_text() == "75"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["count"]


def test_looking_whether_a_lock_is_held_makes_nothing(tmp_path: Path) -> None:
    assert not storage.is_locked(tmp_path / "lock") and not list(tmp_path.iterdir())
    handle = storage.lock(tmp_path / "lock")
    assert storage.is_locked(tmp_path / "lock")
    os.close(handle)
    assert not storage.is_locked(tmp_path / "lock")
