"""Photos of many requests: each gets its own vector, and one failure does not end the others."""

import threading
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from dmlcli.errors import ImageError
from dmlcli.search.encoding import Encoded
from dmlcli.search.query_inputs import QueryInput
from dmlcli.server.photo_encoder import PhotoEncoder


class _Encoder:
    """Turns the number in a photo into a vector; "bad" cannot be read, "crash" is a bug."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def view(self, data: bytes) -> Any:
        if data == b"bad":
            raise ImageError("not a photo")
        return np.full((3, 2, 2), -1.0 if data == b"crash" else float(data), np.float32)

    def forward(self, batch: Any) -> Any:
        self.batches.append(len(batch))
        if batch.min() < 0:
            raise RuntimeError("out of order")
        return batch[:, :1, 0, 0]


def test_each_photo_gets_its_own_vector_also_from_many_threads() -> None:
    fake: Any = _Encoder()
    encoder = PhotoEncoder(fake)
    found: dict[int, Future[Encoded]] = {}

    def send(numbers: range) -> None:
        for number in numbers:
            found[number] = encoder.submit(
                QueryInput(str(number), b"bad" if number % 10 == 3 else str(number).encode())
            )

    threads = [threading.Thread(target=send, args=(range(start, 200, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, future in found.items():
        done = future.result(timeout=30)
        if number % 10 == 3:
            assert done.failure is not None
        else:
            assert done.vector is not None and done.vector.tolist() == [number]
    assert max(fake.batches) > 1  # they formed under load


def test_a_bug_fails_the_waiting_and_not_the_later_ones() -> None:
    fake: Any = _Encoder()
    encoder = PhotoEncoder(fake)
    with pytest.raises(RuntimeError, match="out of order"):
        encoder.submit(QueryInput("crash", b"crash")).result(timeout=30)
    for number in range(20):
        assert encoder.submit(QueryInput("x", str(number).encode())).result(timeout=30).vector is not None


def test_a_request_that_has_gone_is_skipped() -> None:
    fake: Any = _Encoder()
    encoder = PhotoEncoder(fake)
    gone = [encoder.submit(QueryInput("x", b"1")) for _ in range(50)]
    for future in gone:
        future.cancel()
    assert encoder.submit(QueryInput("x", b"2")).result(timeout=30).vector is not None


def test_an_encoder_that_nothing_refers_to_finishes_and_ends_its_threads() -> None:
    fake: Any = _Encoder()
    before = set(threading.enumerate())
    encoder = PhotoEncoder(fake)
    last = [encoder.submit(QueryInput("x", b"1")) for _ in range(30)]
    own = set(threading.enumerate()) - before
    assert own
    del encoder
    assert all(future.result(timeout=30).vector is not None for future in last)
    for thread in own:
        thread.join(timeout=30)
        assert not thread.is_alive()
