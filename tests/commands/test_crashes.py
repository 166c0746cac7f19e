"""kill -9 at any moment: the rerun equals a run that nothing disturbed, and the old index answers throughout."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dmlcli import indexes
from dmlcli.embeddings import open_embeddings
from tests.conftest import Mission

MOMENTS = 20
pytestmark = pytest.mark.slow


def run(*arguments: object, cwd: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "dmlcli", *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(*arguments: object, cwd: Path) -> float:
    """Run to the end; the seconds that took."""
    started = time.monotonic()
    process = run(*arguments, cwd=cwd)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return time.monotonic() - started


def vectors_file(file: Path, first: int, last: int) -> Path:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6000, 32))[first:last]
    paths = np.array([f"{row}.png" for row in range(first, last)])
    np.savez(file, embeddings=rows, labels=np.array(["a"] * len(rows)), paths=paths)
    return file


def answers(folder: Path) -> list[list[tuple[int, str, float]]]:
    """What an index answers, with ids and scores."""
    index = indexes.open_index(folder)
    queries = np.random.default_rng(1).normal(size=(20, 32)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return [[(hit.id, hit.path, round(hit.score, 6)) for hit in hits] for hits in index.search(queries, 5)]


@pytest.mark.parametrize("kind", ["Flat", "IVF32,SQ8"])
@pytest.mark.parametrize("update", [False, True])
def test_an_index_killed_at_any_moment(tmp_path: Path, kind: str, update: bool) -> None:
    before, after = vectors_file(tmp_path / "a.npz", 0, 5000), vectors_file(tmp_path / "b.npz", 1000, 6000)
    start, place = tmp_path / "start", tmp_path / "i"
    finished("index", before, "-o", start, "-w", tmp_path / "w", "--factory", kind, cwd=tmp_path)
    command = ["index", after, "-o", place, "-w", tmp_path / "w", *(["--update"] if update else ["--factory", kind])]
    shutil.copytree(start, place)
    takes = finished(*command, cwd=tmp_path)
    old, new = answers(start), answers(place)
    assert old != new
    rng = random.Random(0)
    for _ in range(MOMENTS):
        shutil.rmtree(place)
        shutil.copytree(start, place)
        process, until = run(*command, cwd=tmp_path), time.monotonic() + rng.uniform(0, takes)
        while time.monotonic() < until and process.poll() is None:
            assert answers(place) in (old, new)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert answers(place) in (old, new)
        finished(*command, cwd=tmp_path)
        assert answers(place) == new
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz", "i", "start", "w"]


def test_an_embed_killed_at_any_moment(mission: Mission, tmp_path: Path) -> None:
    """Kept every moment instead of every half minute, so that there is something to take up."""
    script = "import sys, importlib; importlib.import_module('dmlcli.embeddings.compute').KEEP_EVERY = 0.0;"
    script += "from dmlcli.cli.app import run; sys.exit(run(sys.argv[1:]))"
    model, place = mission.workspace / "model", tmp_path / "w"
    command = ["embed", mission.catalog, "--model", model, "-w", place, "--format", "json"]

    def embedding() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-c", script, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    started, undisturbed = time.monotonic(), embedding()
    _, said = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    takes = time.monotonic() - started
    whole = open_embeddings(place / "embeddings")
    rng, taken_up = random.Random(0), 0
    for _ in range(MOMENTS):
        shutil.rmtree(place)
        killed = embedding()
        time.sleep(rng.uniform(0, takes))
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        process = embedding()
        out, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        taken_up += json.loads(out)["computed"] < len(whole.items)
        again = open_embeddings(place / "embeddings")
        assert again.items == whole.items and np.allclose(again.vectors, whole.vectors, atol=1e-5)
        assert [path.name for path in place.iterdir()] == ["embeddings"]
    assert taken_up > 0


def test_a_second_writer_is_reported_who_the_first_is(tmp_path: Path) -> None:
    """The first holds the lock in a process of its own; that of a dead one is nobody's."""
    file = vectors_file(tmp_path / "a.npz", 0, 500)
    script = "import sys, time; from pathlib import Path; from dmlcli import storage\n"
    script += "with storage.only_writer(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
    first = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "i")], stdout=subprocess.PIPE)
    assert first.stdout is not None and first.stdout.readline() == b"in\n"
    command = ["index", file, "-o", tmp_path / "i", "-w", tmp_path / "w"]
    second = run(*command, cwd=tmp_path)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 4 and str(first.pid).encode() in said and b"another process" in said
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    finished(*command, cwd=tmp_path)
    assert indexes.open_index(tmp_path / "i").images == 500
