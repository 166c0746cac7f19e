"""A disk that fills up at any size: exit 4 with place and size, no signal, and the old index answers.

`FULL_DISK_SIZES=60` tries that many sizes of free space, from 16 kB to 16 MB.
"""

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli import indexes
from dmlcli.cli.main import run
from tests.conftest import Cli, Mission, make_shop

pytestmark = pytest.mark.slow
COUNT = int(os.environ.get("FULL_DISK_SIZES", "6"))
SIZES = [int(size) for size in np.geomspace(16e3, 16e6, COUNT)]
PAGE = 4096
LIBRARIES = [
    "faiss",
    "onnxruntime",
    "torch",
    "torchvision",
    "onnx",
    "dmlcli.cli.app",
    "dmlcli.learn.training.trainer",
]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)  # an index that was opened here is still mapped


def refill(disk: Path, saved: Path, free: int) -> None:
    """Put on the disk what was saved, and leave so many bytes free."""
    resize(disk, 64 << 20)
    for path in disk.iterdir():
        shutil.rmtree(path)
    shutil.copytree(saved, disk, dirs_exist_ok=True, symlinks=True)
    status = os.statvfs(disk)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    resize(disk, used + free // PAGE * PAGE)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", disk], check=True)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def warm() -> Any:
    """Processes that begin with the libraries loaded, so that hundreds of them take minutes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


class Command:
    """`dmlcli` in a process of its own: its exit code, negative for a signal, and what it wrote."""

    def __init__(self, warm: Any, file: Path, *arguments: object) -> None:
        process = warm.Process(target=_command, args=([*map(str, arguments)], str(file)))
        process.start()
        process.join(300)
        self.code = -1 if process.exitcode is None else process.exitcode
        self.said = file.read_text()


def _command(arguments: list[str], file: str) -> None:
    output = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    raise SystemExit(run(arguments))


def vectors(file: Path, count: int, seed: int) -> Path:
    rows = np.random.default_rng(seed).normal(size=(count, 256)).astype(np.float32)
    labels = np.array([f"product {row // 2}" for row in range(count)])
    np.savez(file, embeddings=rows, labels=labels, paths=np.array([f"{seed}/{row}.png" for row in range(count)]))
    return file


def best(folder: Path) -> list[str]:
    """What an index answers, through its files."""
    index = indexes.open_index(folder)
    asked = index.vectors(index.ids()[:3])
    return [found[0].path for found in index.search(asked, 1)]


def check(done: Command, disk: Path, free: int) -> int:
    """The exit code, which is 0, or 4 with folder and size."""
    error = next((line for line in done.said.splitlines() if "no space" in line), "")
    print(f"{free / 1e3:.0f} kB free: exit {done.code} {error.replace(str(disk), 'DISK')}")
    assert done.code in (0, 4), (done.code, done.said)
    if done.code == 4:
        said = " ".join(done.said.split())
        assert "no space left on device" in said and f"free in {disk}" in said and " needed" in said, said
    return done.code


@pytest.mark.parametrize("update", [False, True])
def test_an_index_on_a_full_disk(tmp_path: Path, small_disk: Path, warm: Any, cli: Cli, update: bool) -> None:
    old, new = vectors(tmp_path / "old.npz", 40, 1), vectors(tmp_path / "new.npz", 6000, 1)
    saved = tmp_path / "saved"
    assert cli("index", old, "-o", saved / "i", "-w", saved / "w").code == 0
    codes = []
    for free in SIZES:
        refill(small_disk, saved, free)
        before = names(small_disk)
        more = ["--update"] if update else []
        done = Command(warm, tmp_path / "said", "index", new, "-o", small_disk / "i", "-w", small_disk / "w", *more)
        codes.append(check(done, small_disk, free))
        assert indexes.open_index(small_disk / "i").images == (6000 if done.code == 0 else 40)
        assert best(small_disk / "i") == ["1/0.png", "1/1.png", "1/2.png"]
        assert names(small_disk) == before
    assert codes == sorted(codes, reverse=True) and codes[0] == 4 and codes[-1] == 0


def test_an_embed_on_a_full_disk(tmp_path: Path, small_disk: Path, warm: Any, cli: Cli, mission: Mission) -> None:
    few, many = make_shop(tmp_path / "few", 2, 2), make_shop(tmp_path / "many", 40, 5)
    saved = tmp_path / "saved"
    model = shutil.copytree(mission.workspace / "frozen", tmp_path / "model")
    assert cli("index", few, "--model", model, "-w", saved).code == 0
    codes = []
    for free in SIZES:
        refill(small_disk, saved, free)
        before = names(small_disk)
        done = Command(warm, tmp_path / "said", "embed", many, "--model", model, "-w", small_disk)
        codes.append(check(done, small_disk, free))
        again = cli("query", few / "product-01" / "0.png", "-w", small_disk, "--format", "paths")
        assert (again.code, again.out.splitlines()[0]) == (0, str(few / "product-01" / "0.png"))
        assert [name for name in names(small_disk) if ".partial" not in name] == before
    assert codes == sorted(codes, reverse=True) and codes[0] == 4 and codes[-1] == 0


def test_a_training_on_a_full_disk(tmp_path: Path, small_disk: Path, warm: Any, cli: Cli, begun: Path) -> None:
    few, many = make_shop(tmp_path / "few", 2, 2), make_shop(tmp_path / "many", 12, 4)
    assert cli("index", few, "--model", begun / "frozen", "-w", begun).code == 0
    codes = []
    for free in SIZES:
        refill(small_disk, begun, free)
        done = Command(warm, tmp_path / "said", "train", many, "-w", small_disk, "--epochs", 1)
        codes.append(check(done, small_disk, free))
        indexed = many if done.code == 0 else few
        again = cli("query", indexed / "product-01" / "0.png", "-w", small_disk, "--format", "paths")
        assert (again.code, again.out.splitlines()[:1]) == (0, [str(indexed / "product-01" / "0.png")]), again.err
        assert not [name for name in names(small_disk) if name.endswith(".tmp")]
        if done.code == 0:
            assert (small_disk / "model" / "graph.onnx").exists()
    assert codes[0] == 4 and codes[-1] == 0
