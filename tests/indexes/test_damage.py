"""Files of a workspace that were damaged at random: each command ends with 0, 3 or 4, and in good time.

DAMAGE_EDITS multiplies the numbers of edits, DAMAGE_SEED draws others.
"""

import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dmlcli import indexes
from tests.conftest import Mission, make_embeddings

pytestmark = pytest.mark.slow
FACTOR = float(os.environ.get("DAMAGE_EDITS", "1"))
SEED = int(os.environ.get("DAMAGE_SEED", "0"))
JSON, SQLITE, ONNX, FAISS, SAFETENSORS = (round(FACTOR * count) for count in (153, 60, 60, 135, 8))
LONGEST = 10  # seconds of the processor that a command may take
WAITING = 60  # seconds until a command that does nothing counts as hanging; long, for machines that are busy
VALUES: list[Any] = [None, True, -1, 0, 1e308, 10**30, "", "x", "\0", [], {}, [1], {"a": 1}, "../..", [[[]]]]


def ended(*arguments: object, longest: float = WAITING) -> tuple[int, str]:
    """Exit code and output of a command line in a forked process, which need not import anything again."""
    for name in ("dmlcli.encoder", "dmlcli.indexes.faiss_kinds", "dmlcli.search.query_engine", "onnxruntime"):
        import_module(name)  # here, so that no fork has to
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.dup2(write, 1)
        os.dup2(write, 2)
        sys.stdout, sys.stderr = (open(handle, "w", closefd=False) for handle in (1, 2))  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_CPU, (LONGEST, LONGEST))
        try:
            from dmlcli.cli.main import run

            code = run([str(argument) for argument in arguments])
        except BaseException:
            import traceback

            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    os.close(write)
    os.set_blocking(read, False)
    said, status, end = b"", None, time.monotonic() + longest
    while status is None and time.monotonic() < end:
        found, found_status = os.waitpid(child, os.WNOHANG)
        if found:
            status = found_status
        else:
            time.sleep(0.005)
        said += _so_far(read)
    if status is None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said += _so_far(read)
    os.close(read)
    return (-99 if status is None else os.waitstatus_to_exitcode(status)), said.decode(errors="replace")


def _so_far(handle: int) -> bytes:
    try:
        return os.read(handle, 1 << 20)
    except BlockingIOError:
        return b""


def in_json(rng: random.Random, data: bytes) -> bytes:
    """One entry, at any depth, with another value, another name or none; or bytes that are no JSON any more."""
    if rng.random() < 0.2:
        return in_bytes(rng, data)
    whole = json.loads(data)
    places: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            walk(value[key])

    walk(whole)
    of, key = rng.choice(places)
    kind = rng.randrange(4)
    if kind == 0:
        del of[key]
    elif kind == 1 and isinstance(of, dict):
        of[key + "x"] = of.pop(key)
    else:
        of[key] = rng.choice(VALUES)
    return json.dumps(whole).encode()


def in_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits, numbers and lengths changed anywhere; most edits near the beginning, where formats keep their sizes."""
    changed = bytearray(data)
    kind = rng.randrange(6)
    near = rng.randrange(min(len(data), 256) if rng.random() < 0.6 else len(data))
    if kind == 0:
        return bytes(changed[:near])
    if kind == 1:
        return bytes(changed + changed[:near])
    if kind == 2:
        changed[near] ^= 1 << rng.randrange(8)
    elif kind == 3:
        changed[near : near + 8] = struct.pack("<q", rng.choice([-1, 0, 1 << 31, 1 << 40, (1 << 63) - 1]))
    elif kind == 4:
        del changed[near : near + rng.randrange(1, 64)]
    else:
        size = min(rng.randrange(1, 4096), len(changed) - near)
        changed[near : near + size] = rng.randbytes(size)
    return bytes(changed)


def in_safetensors(data: bytes) -> list[bytes]:
    """Damage as it happens to this format: lengths, header, types, offsets, data."""
    (size,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    name = next(key for key in header if key != "__metadata__")

    def rewritten(**changes: Any) -> bytes:
        text = json.dumps(header | {name: header[name] | changes}).encode()
        return struct.pack("<Q", len(text)) + text + rest

    return [
        b"",
        data[:-1],
        struct.pack("<Q", 1 << 60) + data[8:],
        data[:8] + b"{" * size + rest,
        rewritten(dtype="F13"),
        rewritten(shape=[1 << 40]),
        rewritten(data_offsets=[0, 1 << 50]),
        data[: 8 + size] + bytes(len(rest)),
    ]


def moved(mission: Mission) -> list[object]:
    """A query without probabilities, so that --max-false-accepts reads the calibration of the index."""
    return [mission.images()[0], "--minus", mission.images()[-1]]


@pytest.fixture(scope="module")
def place(mission: Mission, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained workspace with a calibration, to be damaged; each test puts back what it damaged."""
    copy = tmp_path_factory.mktemp("damage") / "w"
    shutil.copytree(mission.workspace, copy, ignore=shutil.ignore_patterns("features", "frozen", "runs"))
    code, said = ended("query", *moved(mission), "-w", copy, "-k", 1, "--max-false-accepts", "5%", longest=120)
    assert code in (0, 1) and (copy / "index" / "calibration.json").exists(), said
    return copy


def outcomes(file: Path, edits: Iterator[bytes] | list[bytes], command: Callable[[], list[object]]) -> Counter[int]:
    """How the command ended with each edit; anything but 0, 3 or 4 fails with the edit that did it."""
    before, counts = file.read_bytes(), Counter[int]()
    for number, edit in enumerate(edits):
        file.write_bytes(edit)
        try:
            code, said = ended(*command())
        finally:
            file.write_bytes(before)
        assert code in (0, 3, 4), f"edit {number} of {file.name}: exit {code}\n{said}"
        assert "Traceback" not in said, f"edit {number} of {file.name}\n{said}"
        counts[code] += 1
    print(f"{file.name}: {dict(counts)}")
    return counts


@pytest.mark.parametrize("name", ["model/model.json", "index/index.json", "index/calibration.json"])
def test_records(place: Path, mission: Mission, name: str) -> None:
    rng, file = random.Random(f"{SEED}{name}"), place / name
    data = file.read_bytes()
    edits = (in_json(rng, data) for _ in range(JSON // 3))
    asked = moved(mission) if "calibration" in name else [mission.images()[0]]
    found = outcomes(file, edits, lambda: ["query", *asked, "-w", place, "--max-false-accepts", "5%"])
    assert found.total() == JSON // 3


def test_embeddings_record(place: Path) -> None:
    file = place / "embeddings" / "embeddings.json"
    rng, data = random.Random(SEED), file.read_bytes()
    edits = (in_json(rng, data) for _ in range(JSON // 3))
    outcomes(file, edits, lambda: ["index", "-w", place, "-o", place / "other"])
    outcomes(file, (in_json(rng, data) for _ in range(JSON // 10)), lambda: ["status", "-w", place])


def test_item_tables(place: Path, mission: Mission) -> None:
    file = place / "index" / "items.sqlite"
    rng, data = random.Random(SEED), file.read_bytes()
    edits = (in_bytes(rng, data) for _ in range(SQLITE))
    found = outcomes(file, edits, lambda: ["query", mission.images()[0], "-w", place])
    assert found[4] >= 0.95 * SQLITE  # what was written is distinguished from anything else; an edit may change nothing


@pytest.mark.parametrize("name", ["graph.onnx", "graph.weights"])
def test_graphs(place: Path, mission: Mission, name: str) -> None:
    file = place / "model" / name
    rng, data = random.Random(SEED), file.read_bytes()
    edits = (in_bytes(rng, data) for _ in range(ONNX // 2))
    found = outcomes(file, edits, lambda: ["query", mission.images()[0], "-w", place])
    assert found[4] >= 0.95 * (ONNX // 2)


def test_weights(place: Path, mission: Mission) -> None:
    file = place / "model" / "weights.safetensors"
    found = outcomes(file, in_safetensors(file.read_bytes()), lambda: ["query", mission.images()[0], "-w", place])
    assert found == {4: 8}


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "IVF8,Flat", "IVF8,PQ4", "SQ8"])
def test_faiss_files(tmp_path: Path, kind: str) -> None:
    rows = np.random.default_rng(0).normal(size=(800, 16))
    made = make_embeddings(rows, [f"p{row // 4}" for row in range(800)])
    folder = indexes.build(tmp_path / "i", made, None, indexes.IndexRequirements(kind, recall=0.1)).folder
    np.save(tmp_path / "v.npy", made.vectors[:3])
    files = sorted(folder.glob("*.faiss"))
    rng = random.Random(f"{SEED}{kind}")
    for file in files:
        data = file.read_bytes()
        edits = (in_bytes(rng, data) for _ in range(-(-FAISS // (5 * len(files)))))
        found = outcomes(file, edits, lambda: ["query", "--vector", tmp_path / "v.npy", "--index", folder])
        assert found[4] >= 0.9 * found.total()
