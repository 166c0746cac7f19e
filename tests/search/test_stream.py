"""Answers in order, each as soon as it can be: the stages overlap, and nobody waits for a batch to fill."""

import gc
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dmlcli.errors import CatalogError, ImageError
from dmlcli.search.query_inputs import QueryInput
from dmlcli.search.stream import encode
from tests.conftest import Mission


def number(data: bytes) -> np.ndarray:
    if data == b"bad":
        raise ImageError("not a number")
    return np.full((3, 2, 2), float(data), np.float32)


def first_values(batch: np.ndarray) -> np.ndarray:
    return batch[:, 0, 0, :1]


def sources(values: list[str]) -> list[QueryInput]:
    return [QueryInput(value, value.encode()) for value in values]


def test_vectors_come_in_the_order_of_the_photos() -> None:
    def slow_at_times(data: bytes) -> np.ndarray:
        time.sleep(0.002 * (int(data) % 5))
        return number(data)

    values = [str(value) for value in range(60)]
    done = list(encode(sources(values), slow_at_times, first_values))
    assert [one.source.name for one in done] == values
    assert [float(one.vector[0]) for one in done if one.vector is not None] == list(range(60))


def test_what_cannot_be_read_keeps_its_place() -> None:
    known = QueryInput("known", None, np.array([7], np.float32))
    done = list(encode([*sources(["1", "bad"]), known, *sources(["2"])], number, first_values))
    assert [one.source.name for one in done] == ["1", "bad", "known", "2"]
    assert [None if one.vector is None else float(one.vector[0]) for one in done] == [1, None, 7, 2]
    assert str(done[1].failure) == "not a number"


def test_a_failure_does_not_keep_the_pixels_of_its_neighbors() -> None:
    """Of 200 failures among 5,000 photos, 30 MB of pixels stayed until a garbage collection."""
    kept: list[weakref.ref[np.ndarray]] = []

    def remembered(batch: np.ndarray) -> np.ndarray:
        kept.append(weakref.ref(batch))
        return first_values(batch).copy()

    def view(data: bytes) -> np.ndarray:
        pixels = number(data)
        kept.append(weakref.ref(pixels))
        return pixels

    gc.disable()
    try:
        done = list(encode(sources(["1", "bad", "2", "3"]), view, remembered))
        assert str(done[1].failure) == "not a number" and len(kept) > 3
        assert not any(one() is not None for one in kept)
    finally:
        gc.enable()


def test_the_work_overlaps() -> None:
    """Twenty photos of 20 + 20 + 20 ms: one after the other they would take 1.2 s."""

    def wait_view(data: bytes) -> np.ndarray:
        time.sleep(0.02)
        return number(data)

    def wait_forward(batch: np.ndarray) -> np.ndarray:
        time.sleep(0.02 * len(batch))
        return first_values(batch)

    began = time.perf_counter()
    for _ in encode(sources([str(value) for value in range(20)]), wait_view, wait_forward):
        time.sleep(0.02)
    assert time.perf_counter() - began < 0.9


def test_no_answer_waits_for_a_later_query() -> None:
    """Each answer is there before the next photo is."""
    may_go_on = threading.Event()

    def one_by_one() -> Iterator[QueryInput]:
        for value in range(4):
            yield from sources([str(value)])
            assert may_go_on.wait(10)
            may_go_on.clear()

    count = 0
    for _ in encode(one_by_one(), number, first_values):
        count += 1
        may_go_on.set()
    assert count == 4


def test_memory_is_bounded() -> None:
    """Nothing reads a million photos ahead of a slow reader."""
    taken = 0

    def counted() -> Iterator[QueryInput]:
        nonlocal taken
        for value in range(10_000):
            taken += 1
            yield from sources([str(value)])

    stream = encode(counted(), number, first_values)
    next(stream)
    time.sleep(0.3)
    assert taken < 120
    stream.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("stage", ["reading", "decoding", "encoding"])
def test_an_error_anywhere_comes_out_after_what_was_done_before_it(stage: str) -> None:
    def read() -> Iterator[QueryInput]:
        yield from sources(["1", "2"])
        if stage == "reading":
            raise CatalogError("no more")
        yield from sources(["13", "3"])

    def view(data: bytes) -> np.ndarray:
        if stage == "decoding" and data == b"13":
            raise CatalogError("no more")
        return number(data)

    def forward(batch: np.ndarray) -> np.ndarray:
        if (batch == 13).any():
            raise CatalogError("no more")
        return first_values(batch)

    stream = encode(read(), view, forward)
    with pytest.raises(CatalogError, match="no more"):
        list(stream)


def test_threads_end_when_no_more_is_requested() -> None:
    before = threading.active_count()
    stream = encode(sources([str(value) for value in range(500)]), number, first_values)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before


def test_one_process_answers_line_by_line(mission: Mission) -> None:
    """A line typed into the open pipe is answered before the next is typed; in the end the process ends well."""
    command = [sys.executable, "-m", "dmlcli", "query", "--files-from", "-", "-k", "1"]
    names = [str(path.relative_to(mission.folder)) for path in mission.images()[:6]]
    with subprocess.Popen(command, cwd=mission.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None and running.stdout is not None
        for name in [*names, "missing.jpg", names[0]]:
            running.stdin.write(os.fsencode(name) + b"\n")
            running.stdin.flush()
            if name != "missing.jpg":
                ready, _, _ = select.select([running.stdout], [], [], 60)
                assert ready, f"no answer to {name} while stdin is open"
                cells = running.stdout.readline().decode().rstrip("\n").split("\t")
                assert (cells[0], cells[4]) == (name, name)
        running.stdin.close()
        assert running.stdout.read() == b"" and running.wait(60) == 3


def test_ctrl_c_ends_a_process_that_waits(mission: Mission) -> None:
    command = [sys.executable, "-m", "dmlcli", "query", "--files-from", "-", "-k", "1"]
    photo = os.fsencode(mission.images()[0])
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=mission.folder, **streams) as running:  # type: ignore[call-overload]
        running.stdin.write(photo + b"\n")
        running.stdin.flush()
        assert running.stdout.readline()
        running.send_signal(2)
        assert running.wait(20) == 130
        assert b"Traceback" not in running.stderr.read() and b"Fatal" not in running.stderr.read()


def test_a_folder_is_answered_in_order(mission: Mission) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dmlcli", "query", "catalog", "-k", "1"],
        cwd=mission.folder,
        capture_output=True,
        check=True,
    )
    rows = [line.split("\t") for line in done.stdout.decode().splitlines()]
    assert [row[0] for row in rows] == [str(Path(path).relative_to(mission.folder)) for path in mission.images()]
