"""Parallel encoding of many queries in order: reading, decoding and encoding overlap.

Three stages, each at work on another photo: one thread reads what comes in and hands it to a pool that decodes; one
thread encodes, as many at a time as happen to be ready; the caller searches and prints. A single line typed into an
open pipe goes through at once: no stage waits for a batch to fill.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

import numpy as np

from dmlcli import prefetch
from dmlcli.errors import ImageError
from dmlcli.report.query import Stage
from dmlcli.search.encoding import Encoded, made
from dmlcli.search.query_inputs import QueryInput
from dmlcli.types import Forward, Pixels, View

_BATCH = 8  # photos encoded at a time at most
_PATIENCE = 0.1  # seconds until a stage that has nothing to do looks whether it is still wanted
_Decoded = tuple[QueryInput, "Future[tuple[Pixels, float]]"]  # pixels (3, H, W) and the seconds they took
T = TypeVar("T")


def encode(sources: Iterable[QueryInput], view: View, forward: Forward) -> Iterator[Encoded]:
    """Yield the vector of each source in order, each as soon as it is computed.

    Args:
        sources: the queries.
        view: the bytes of an image file to pixels (3, H, W); called in threads.
        forward: pixels (B, 3, H, W) to unit vectors (B, D).
    """
    stopped = Event()
    ahead = _BATCH + 2 * prefetch.cores()  # decoded before their turn; of each, some 0.6 MB of pixels wait
    decoded: Queue[_Decoded | BaseException | None] = Queue(ahead)
    encoded: Queue[list[Encoded] | BaseException | None] = Queue(2)
    with ThreadPoolExecutor(prefetch.cores()) as pool:

        def read() -> None:
            for source in sources:
                if not _put(decoded, (source, pool.submit(_decode, source, view)), stopped):
                    return

        def work() -> None:
            while batch := _next_batch(decoded, stopped):
                if not _put(encoded, _forward(batch, forward), stopped):
                    return

        _start(read, decoded, stopped)
        worker = _start(work, encoded, stopped)
        try:
            while (done := encoded.get()) is not None:
                if isinstance(done, BaseException):
                    raise done
                yield from done
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            worker.join()  # the process must not end in the middle of a forward pass


def _start(stage: Callable[[], None], out: "Queue[T | BaseException | None]", stopped: Event) -> Thread:
    """Run a stage in a thread; its end, or its error, is the last that comes out of it."""

    def run() -> None:
        try:
            stage()
        except BaseException as error:
            _put(out, error, stopped)
        else:
            _put(out, None, stopped)

    thread = Thread(target=run, daemon=True)  # one that waits for stdin must not keep the process alive
    thread.start()
    return thread


def _put(queue: "Queue[T]", item: T, stopped: Event) -> bool:
    """Return whether the item was taken before everything was stopped."""
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_PATIENCE)
        except Full:
            continue
        return True
    return False


def _decode(source: QueryInput, view: View) -> tuple[Pixels, float]:
    since = time.perf_counter()
    pixels = np.zeros(0, np.float32) if source.vector is not None else view(source.read_bytes())
    return pixels, time.perf_counter() - since


def _next_batch(decoded: "Queue[_Decoded | BaseException | None]", stopped: Event) -> list[_Decoded]:
    """Return what is next, and what is ready after it; nothing at the end."""
    batch: list[_Decoded] = []
    while len(batch) < _BATCH and (not batch or _is_ready(decoded)) and not stopped.is_set():
        try:
            item = decoded.get(timeout=_PATIENCE)
        except Empty:
            continue
        if isinstance(item, BaseException) and not batch:
            raise item
        if not isinstance(item, tuple):
            decoded.put(item)  # the end, or an error, is still there when what came before it is done
            break
        batch.append(item)
    return batch


def _is_ready(decoded: "Queue[_Decoded | BaseException | None]") -> bool:
    with decoded.mutex:
        item = decoded.queue[0] if decoded.queue else None
    return isinstance(item, tuple) and item[1].done()


def _forward(batch: list[_Decoded], forward: Forward) -> list[Encoded]:
    views: dict[int, tuple[Pixels, float]] = {}
    failures: dict[int, ImageError] = {}
    for place, (source, waiting) in enumerate(batch):
        try:
            if source.vector is None:
                views[place] = waiting.result()
        except ImageError as error:
            # without its trace, which holds this frame: the pixels of the batch would stay until garbage is collected
            failures[place] = error.with_traceback(None)
    since = time.perf_counter()
    vectors = forward(np.stack([pixels for pixels, _ in views.values()])) if views else np.zeros((0, 0), np.float32)
    each = (time.perf_counter() - since) / max(len(views), 1)
    encoded = dict(zip(views, vectors, strict=True))
    done = []
    for place, (source, _) in enumerate(batch):
        if place in views:
            done.append(made(source, encoded[place], (Stage("decode", 1, views[place][1]), Stage("encode", 1, each))))
        else:
            done.append(Encoded(source, source.vector, failures.get(place)))
    return done
