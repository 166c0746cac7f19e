"""Files are held against checksums, and read again only where they were touched."""

import os
from pathlib import Path

import pytest

from dmlcli.storage import checksums


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").write_bytes(b"123456789")
    (tmp_path / "b").write_bytes(b"")
    return tmp_path


def test_a_sum_is_the_size_and_the_crc(folder: Path) -> None:
    assert checksums.sums(folder, ["a", "b"]) == {"a": "9-cbf43926", "b": "0-00000000"}  # the check value of CRC-32


def test_what_was_written_passes(folder: Path) -> None:
    sums = checksums.sums(folder, ["a", "b"])
    checksums.check(folder, sums)
    checksums.check(folder, sums)
    checksums.check(folder, {})


@pytest.mark.parametrize("data, says", [(b"12345678", "8 bytes instead of 9"), (b"123456780", "checksum")])
def test_a_change_is_noticed_also_after_a_check(folder: Path, data: bytes, says: str) -> None:
    sums = checksums.sums(folder, ["a", "b"])
    checksums.check(folder, sums)
    before = (folder / "a").stat()
    (folder / "new").write_bytes(data)
    os.utime(folder / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "new").rename(folder / "a")
    with pytest.raises(ValueError, match=says):
        checksums.check(folder, sums)


def test_a_file_that_matched_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = checksums.sums(folder, ["a"])
    checksums.note(folder, ["a"])
    read: list[Path] = []

    def summing(file: Path) -> str:
        read.append(file)
        return sums["a"]

    monkeypatch.setattr(checksums, "_sum", summing)
    checksums.check(folder, sums)
    assert not read
    os.utime(folder / "a")
    checksums.check(folder, sums)
    checksums.check(folder, sums)
    assert read == [folder / "a"]


def test_a_damaged_note_only_costs_the_reading(folder: Path) -> None:
    sums = checksums.sums(folder, ["a"])
    (folder / checksums.CHECKED).write_text("{")
    checksums.check(folder, sums)
    (folder / "a").write_bytes(b"123456780")
    with pytest.raises(ValueError):
        checksums.check(folder, sums)


def test_a_pipe_is_refused_without_waiting(folder: Path) -> None:
    sums = checksums.sums(folder, ["a"])
    (folder / "a").unlink()
    os.mkfifo(folder / "a")
    with pytest.raises(ValueError, match="not a regular file"):
        checksums.check(folder, sums)
