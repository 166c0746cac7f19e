"""Parallel work in threads with results in order, used to decode images ahead of the model.

Decoders release Python's lock, so threads are as quick as processes, start at once, and need no copies.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Given = TypeVar("Given")
Made = TypeVar("Made")

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # what a container may use: "200000 100000" are two cores, "max 100000" all
_sharers = 1  # processes that are busy on this machine with the same work


def cores() -> int:
    """Return the number of processors for this process: by affinity, container quota, and other processes."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _QUOTA.read_text().split()
        allowed = min(allowed, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # no quota
        pass
    return max(1, allowed // _sharers)


@contextmanager
def shared_by(processes: int) -> Iterator[None]:
    """Limit this process to its share of the processors."""
    global _sharers
    before, _sharers = _sharers, processes
    try:
        yield
    finally:
        _sharers = before


def in_order(
    work: Callable[[Given], Made], items: Iterable[Given], ahead: int
) -> Generator["Future[Made]", None, None]:
    """Call a function on items in as many threads as there are cores, and yield the futures in order.

    Close the iterator to stop early: items that were not started are dropped, and all threads end.

    Args:
        work: the function.
        items: the items.
        ahead: maximum number of items that are started but not yet yielded.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(cores(), thread_name_prefix="feeding") as threads:
        waiting: deque[Future[Made]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                if len(waiting) >= ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            threads.shutdown(cancel_futures=True)
