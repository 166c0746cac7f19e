"""What the disk refuses, in the words of every library, becomes one error; everything else stays what it is."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from dmlcli import storage
from dmlcli.errors import CannotRun
from dmlcli.storage.failures import cannot_write, size_text

FAISS = (
    "Error in void faiss::write_index(const Index*, IOWriter*, int) at /project/faiss/impl/index_write.cpp:499: "
    "Error: 'ret == (size * 4)' failed: write error in {draft}/vectors.faiss: 262099 != 512000 ({reason})"
)


@pytest.mark.parametrize(
    "error, reason",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk quota exceeded"),
        (OSError(errno.EFBIG, "File too large"), "file too large"),
        (OSError(errno.EROFS, "Read-only file system", "{draft}/a"), "read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "{draft}/a"), "permission denied"),
        (PermissionError(errno.EPERM, "Operation not permitted", "{draft}"), "operation not permitted"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files"),
        (OSError(errno.EIO, "Input/output error"), "input/output error"),
        (RuntimeError(FAISS.replace("{reason}", "No space left on device")), "no space left on device"),
        (RuntimeError(FAISS.replace("{reason}", "Disk quota exceeded")), "disk quota exceeded"),
        (RuntimeError("could not open {draft}/a for writing: Permission denied"), "permission denied"),
        (ValueError("Error while serializing: I/O error: No space left on device (os error 28)"), "no space left"),
        (ValueError('I/O error: Read-only file system (os error 30) at path "{draft}/.tmp0"'), "read-only file system"),
        (sqlite3.OperationalError("database or disk is full"), "no space left on device"),
        (
            OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left"),
            "no space left on device",
        ),
    ],
)
def test_every_library_s_refusal_names_place_and_reason(tmp_path: Path, error: Exception, reason: str) -> None:
    target, draft = tmp_path / "index", tmp_path / ".index.1-a-0.tmp"
    draft.mkdir()
    if isinstance(error, OSError) and error.filename:
        error = type(error)(error.errno, error.strerror, error.filename.replace("{draft}", str(draft)))
    else:
        error.args = tuple(
            part.replace("{draft}", str(draft)) if isinstance(part, str) else part for part in error.args
        )
    known = cannot_write(target, error, draft)
    assert isinstance(known, CannotRun) and known.exit_code == 4
    assert str(known).startswith(f"cannot write {target}: {reason}") and known.hint
    assert (f"free in {tmp_path}" in str(known)) == (known.number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied", "/photos/1.jpg"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/photos/1.jpg"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        PermissionError(errno.EPERM, "Operation not permitted"),  # a firewall
        ValueError("a bug"),
        RuntimeError("Permission denied by the model"),
        CannotRun("something else"),
    ],
)
def test_what_is_not_about_writing_stays_what_it_is(tmp_path: Path, error: Exception) -> None:
    assert cannot_write(tmp_path / "index", error, tmp_path / ".index.1-a-0.tmp") is None
    with pytest.raises(type(error)) as caught, storage.writing(tmp_path / "index"):
        raise error
    assert caught.value is error


def test_a_library_that_does_not_say_why_is_asked_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch says 'unexpected pos 576 vs 534' of a full disk."""
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    assert cannot_write(tmp_path / "a.pt", error) is None

    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    known = cannot_write(tmp_path / "a.pt", error)
    assert known is not None and known.is_full and not list(tmp_path.iterdir())


def test_a_file_in_a_draft_is_named_by_what_the_user_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(storage.CannotWrite) as caught, storage.new_folder(tmp_path / "index", ("a.json",)) as draft:
        monkeypatch.setattr(os, "fsync", full)
        storage.write_json(draft / "a.json", {})
    monkeypatch.undo()
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'index'}: no space left on device")
    assert not list(tmp_path.iterdir())


def test_what_is_needed_and_what_is_free_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(storage.CannotWrite) as caught, storage.new_folder(tmp_path / "e", ("a", "b.npy")) as draft:
        (draft / "a").write_bytes(b"x" * 1_000_000)
        with storage.npy_rows(draft / "b.npy", "f4", (1000, 500)):
            pass
    assert "(at least 3.0 MB needed, " in str(caught.value) and f" free in {tmp_path})" in str(caught.value)
    assert "another disk" in caught.value.hint


def test_sizes() -> None:
    sizes = (0, 999, 1000, 12_300, 1_234_567, 5e9, 7e13)
    assert [size_text(size) for size in sizes] == [
        "0 bytes",
        "999 bytes",
        "1.0 kB",
        "12 kB",
        "1.2 MB",
        "5.0 GB",
        "70.0 TB",
    ]
