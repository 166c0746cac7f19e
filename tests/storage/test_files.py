"""Single files: whole or not at all; links stay; devices, pipes and the own output are written into."""

import os
import pty
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dmlcli import storage
from dmlcli.errors import CannotRun
from dmlcli.storage import files
from tests.storage.recorded import Recorded, recorded


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text("old")
    with pytest.raises(KeyError), storage.new_file(target) as draft:
        draft.write_text("half")
        raise KeyError
    assert target.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_content_then_name_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = recorded(monkeypatch)
    storage.write_text(tmp_path / "a", "x")
    file, folder = (tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino
    assert events == [Recorded("sync", file), Recorded("rename", 0), Recorded("sync", folder)]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "real.html").write_text("old")
    (tmp_path / "page.html").symlink_to("other/real.html")
    storage.write_text(tmp_path / "page.html", "new")
    assert (tmp_path / "page.html").readlink() == Path("other/real.html")
    assert (tmp_path / "other" / "real.html").read_text() == "new"
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["real.html"]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "first").symlink_to(tmp_path / "made")
    storage.write_text(tmp_path / "first", "x")
    assert (tmp_path / "made").read_text() == "x" and (tmp_path / "first").is_symlink()
    (tmp_path / "unmounted").symlink_to(tmp_path / "disk" / "page.html")
    with pytest.raises(CannotRun, match=r"the folder .*disk does not exist"):
        storage.write_text(tmp_path / "unmounted", "x")
    assert not (tmp_path / "disk").exists()
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(CannotRun, match="symbolic link"):
        storage.write_text(tmp_path / "circle", "x")


def test_a_backup_of_hard_links_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    (tmp_path / "backup.html").hardlink_to(tmp_path / "page.html")
    storage.write_text(tmp_path / "page.html", "new")
    assert (tmp_path / "backup.html").read_text() == "old" and (tmp_path / "page.html").read_text() == "new"


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        storage.write_text(tmp_path / "a", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o444])
def test_a_replaced_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(mode)
    with storage.new_file(tmp_path / "a") as draft:
        assert not stat.S_IMODE(draft.stat().st_mode) & ~(mode | 0o200), "never open to more people than the file"
        draft.write_text("new")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode and (tmp_path / "a").read_text() == "new"


def test_a_device_is_written_into(tmp_path: Path) -> None:
    """As root, a replaced /dev/null or terminal breaks the machine; a pseudo-terminal stands for all of them."""
    leader, follower = pty.openpty()
    try:
        device = Path(os.ttyname(follower))
        storage.check_writable(device)
        storage.write_text(device, "page")
        assert os.read(leader, 100) == b"page" and stat.S_ISCHR(device.stat().st_mode)
        (tmp_path / "link.html").symlink_to(device)
        storage.write_text(tmp_path / "link.html", "again")
        assert os.read(leader, 100) == b"again" and (tmp_path / "link.html").is_symlink()
        assert not [path for path in device.parent.iterdir() if ".tmp" in path.name]
    finally:
        os.close(leader)
        os.close(follower)


def test_a_named_pipe_is_written_into_once_somebody_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    storage.write_text(tmp_path / "pipe", "x" * 200_000)  # more than a pipe holds at once
    reader.join(30)
    assert read == ["x" * 200_000] and stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_named_pipe_that_nobody_reads_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_READER_WAIT", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotRun, match="no program reads from this pipe") as caught:
        storage.write_text(tmp_path / "pipe", "x")
    assert "cat" in caught.value.hint


def test_a_folder_that_will_not_be_made_must_exist(tmp_path: Path) -> None:
    target = tmp_path / "new" / "page.html"
    storage.check_writable(target)
    with pytest.raises(CannotRun, match="folder not found: ") as caught:
        storage.check_writable(target, new_folders=False)
    assert caught.value.hint
    target.parent.mkdir()
    storage.check_writable(target, new_folders=False)
    with pytest.raises(CannotRun, match="it is a folder"):
        storage.check_writable(target.parent, new_folders=False)


def test_what_takes_no_file_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's path must be short
        server.bind("socket")
        for name, said in {
            "folder": "it is a folder",
            "socket": "it is a socket",
            "file/page.html": "file is a file|not a directory",
            "x" * 300: "file name too long",
        }.items():
            with pytest.raises(CannotRun, match=said) as caught:
                storage.check_writable(tmp_path / name)
            assert caught.value.hint
            with pytest.raises(CannotRun, match=said):
                storage.write_text(tmp_path / name, "x")
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.parametrize("place", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_the_own_output_is_written_into(tmp_path: Path, place: str, kind: str) -> None:
    """In its order with what else is printed, and the file that the shell opened stays."""
    script = "from pathlib import Path; from dmlcli import storage; import sys\n"
    script += f"print('before'); storage.write_text(Path({place!r}), 'page\\n'); print('after')"
    with (tmp_path / "out").open("w") as stream:
        inode = os.fstat(stream.fileno()).st_ino
        out = subprocess.PIPE if kind == "pipe" else stream
        done = subprocess.run([sys.executable, "-c", script], stdout=out, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode() if kind == "pipe" else (tmp_path / "out").read_text()
    assert text == "before\npage\nafter\n"
    assert (tmp_path / "out").stat().st_ino == inode and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_descriptor_of_a_deleted_file(tmp_path: Path) -> None:
    with (tmp_path / "gone").open("w+") as stream:
        (tmp_path / "gone").unlink()
        storage.write_text(Path(f"/dev/fd/{stream.fileno()}"), "page")
        stream.seek(0)
        assert stream.read() == "page"
    assert not list(tmp_path.iterdir())


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    with storage.new_file(tmp_path / "a") as one, storage.new_file(tmp_path / "a") as other:
        assert one != other
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "a").read_text() == "1" and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_name_of_254_bytes(tmp_path: Path) -> None:
    target = tmp_path / ("x" * 250 + ".npz")
    storage.write_text(target, "x")
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
