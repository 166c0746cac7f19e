"""Work ahead comes back in order, in as many threads as there are cores, and no thread outlives it."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dmlcli import prefetch
from dmlcli.catalog import open_catalog
from dmlcli.embeddings import Vectors, compute
from dmlcli.image import ImageSettings, Pixels, view
from dmlcli.prefetch import cores, in_order
from tests.places import ROOT


def feeders() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("feeding")]


def test_results_come_in_order_and_not_too_far_ahead() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return item * item

    with closing(in_order(work, range(50), ahead=5)) as coming:
        for number, future in enumerate(coming):
            assert future.result() == number * number
            assert len(started) <= number + 5
    assert not feeders()


def test_an_error_belongs_to_its_item() -> None:
    with closing(in_order(lambda item: 1 // item, [1, 0, 1], ahead=9)) as coming:
        first, second, third = coming
    assert (first.result(), third.result()) == (1, 1)
    with pytest.raises(ZeroDivisionError):
        second.result()


def test_leaving_early_drops_what_has_not_begun() -> None:
    started: list[int] = []
    with closing(in_order(started.append, range(10_000), ahead=4)) as coming:
        next(coming)
    assert not feeders() and len(started) <= 8


@pytest.mark.parametrize(
    ("text", "most"),
    [("max 100000", 10**6), ("100000 100000", 1), ("150000 100000", 2), ("1000 100000", 1), ("x", 10**6)],
)
def test_cores_are_those_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, most: int
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(prefetch, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores() == min(8, most)


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_embedding_leaves_no_thread_behind(shop: Path, error: type[BaseException] | None) -> None:
    def forward(batch: Pixels) -> Vectors:
        if error is not None:
            raise error
        return np.ones((len(batch), 2), np.float32)

    settings = ImageSettings(resize=8, crop=8)
    caught = None
    try:
        compute(open_catalog(shop), lambda data: view(data, settings), forward, "m", batch_size=2)
    except BaseException as raised:
        caught = raised  # while its trace, and so every frame, is alive
    assert (caught is None) == (error is None)
    assert not feeders()


_SLOW_FORWARD = """
import sys, time
import numpy as np
from pathlib import Path
from dmlcli.catalog import open_catalog
from dmlcli.embeddings import compute
from dmlcli.image import ImageSettings, view
def forward(batch):
    print("working", flush=True)
    time.sleep(30)
compute(open_catalog(Path(sys.argv[1])), lambda data: view(data, ImageSettings(8, 8)), forward, "m", batch_size=2)
"""


def test_ctrl_c_ends_the_process_with_its_threads(shop: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW_FORWARD, str(shop)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as running:
        assert running.stdout is not None and running.stdout.readline() == b"working\n"
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=10)
    assert running.returncode not in (0, None)
