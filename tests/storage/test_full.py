"""What each library does on a disk that is really full, or takes no file of that size, becomes one error."""

import os
import re
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlcli import storage
from dmlcli.embeddings import formats, store
from dmlcli.indexes import faiss_kinds
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.storage.failures import CannotWrite
from tests.conftest import make_embeddings

ROOM = 256 << 10
ROWS = np.random.default_rng(0).normal(size=(2000, 64)).astype(np.float32)
EMBEDDINGS = make_embeddings(ROWS, ["a"] * len(ROWS))


def faiss_index(rows: int) -> object:
    index = faiss_kinds.create("Flat", 64)
    faiss_kinds.add(index, ROWS[:rows], np.arange(rows), "adding")
    return index


def faiss(file: Path) -> None:
    with storage.new_file(file) as draft:
        faiss_kinds.write(faiss_index(2000), draft)


def safetensors(file: Path) -> None:
    from safetensors.numpy import save_file

    with storage.new_file(file) as draft:
        save_file({"a": ROWS}, draft)


def sqlite(file: Path) -> None:
    with storage.new_file(file) as draft, closing(sqlite3.connect(draft)) as table:
        table.execute("PRAGMA journal_mode = OFF")
        table.execute("CREATE TABLE a (x)")
        table.executemany("INSERT INTO a VALUES (?)", (("x" * 100,) for _ in range(5000)))
        table.commit()


def parquet(file: Path) -> None:
    formats.save_file(file.with_suffix(".parquet"), EMBEDDINGS)


def npz(file: Path) -> None:
    formats.save_file(file.with_suffix(".npz"), EMBEDDINGS)


def npy(file: Path) -> None:
    formats.save_file(file.with_suffix(".npy"), EMBEDDINGS)


def jsonl(file: Path) -> None:
    formats.save_file(file.with_suffix(".jsonl"), EMBEDDINGS)


def folder(file: Path) -> None:
    store.save(file, EMBEDDINGS)


def numpy(file: Path) -> None:
    with storage.new_file(file) as draft, draft.open("wb") as stream:
        np.save(stream, ROWS)


def checkpoint(file: Path) -> None:
    Checkpoint(file).save({"a": torch.from_numpy(ROWS)})


def text(file: Path) -> None:
    storage.write_text(file, "x" * 500_000)


WRITERS = [faiss, safetensors, sqlite, parquet, npz, npy, jsonl, folder, numpy, checkpoint, text]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)]
    if (mounted := subprocess.run(command, capture_output=True, check=False)).returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk(small_disk: Path, write: Callable[[Path], None]) -> None:
    with pytest.raises(CannotWrite) as caught:
        write(small_disk / "a")
    assert str(caught.value).startswith(f"cannot write {small_disk / 'a'}") and caught.value.is_full
    assert re.search(rf"needed, 2\d\d kB free in {small_disk}\)", str(caught.value))
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize("write", WRITERS)
def test_a_limit_on_the_size_of_files(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """`ulimit -f`, and file systems such as FAT."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(CannotWrite, match="file too large"):
            write(tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_device_that_is_full() -> None:
    with pytest.raises(CannotWrite, match="cannot write /dev/full: no space left on device"):
        storage.write_text(Path("/dev/full"), "x")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_small_faiss_file_is_never_cut_short_without_an_error() -> None:
    """FAISS's own writer finds out as it closes the file, and only prints it."""
    with pytest.raises(OSError, match="No space left"):
        faiss_kinds.write(faiss_index(5), Path("/dev/full"))


def test_too_many_open_files(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        with pytest.raises(CannotWrite, match="too many open files") as caught:
            storage.write_text(tmp_path / "a", "x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "ulimit -n" in caught.value.hint
