"""Photos to vectors for many requests at a time, by the pipeline of `query --files-from`.

Reading, decoding and encoding overlap, and photos that wait are encoded together: a batch forms only under load.
"""

import weakref
from collections import deque
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread

from dmlcli.encoder import Encoder
from dmlcli.search import stream
from dmlcli.search.cropping import CropMode, Cropper
from dmlcli.search.encoding import Encoded
from dmlcli.search.query_inputs import QueryInput


class PhotoEncoder:
    """Encodes photos in the background, first come, first served.

    Its threads end, after what has arrived, once no request refers to it any more.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._croppers: dict[CropMode, Cropper] = {}  # opened by the first request that needs them
        self._opening = Lock()  # of croppers; photos are submitted meanwhile
        self._line = _Line()
        Thread(target=_work, args=(encoder, self._line), name="encode", daemon=True).start()
        weakref.finalize(self, self._line.end)

    def submit(self, photo: QueryInput) -> "Future[Encoded]":
        """Return the future vector of a photo, or why it has none."""
        return self._line.add(photo)

    def with_crops(self, photo: QueryInput, mode: CropMode) -> Encoded:
        """Return the vector of a photo with those of its crops, or why it has none; computed in the calling thread.

        Args:
            photo: an image file.
            mode: auto or each.

        Raises:
            CannotRun: the model has no maps.
        """
        with self._opening:
            if mode not in self._croppers:
                self._croppers[mode] = Cropper(self._encoder.model, self._encoder.forward, mode)
        return next(self._croppers[mode].encode([photo]))


class _Line:
    """Photos that wait to be encoded, each with the future of its vector."""

    def __init__(self) -> None:
        self.arriving: SimpleQueue[QueryInput | None] = SimpleQueue()
        self.waiting: deque[Future[Encoded]] = deque()  # in the order of the photos
        self._lock = Lock()  # a photo and its future enter together
        self._has_ended = False

    def add(self, photo: QueryInput) -> "Future[Encoded]":
        future: Future[Encoded] = Future()
        with self._lock:
            self.waiting.append(future)
            self.arriving.put(photo)
        return future

    def end(self) -> None:
        with self._lock:
            self._has_ended = True
            self.arriving.put(None)

    def start_anew(self) -> "deque[Future[Encoded]]":
        """Return all that waits, and begin a new line."""
        with self._lock:
            failed, before = self.waiting, self.arriving
            self.waiting, self.arriving = deque(), SimpleQueue()
            before.put(None)  # the thread that still reads from it ends
            if self._has_ended:
                self.arriving.put(None)
        return failed


def _work(encoder: Encoder, line: _Line) -> None:
    while True:
        try:
            for done in stream.encode(iter(line.arriving.get, None), encoder.view, encoder.forward):
                future = line.waiting.popleft()
                if future.set_running_or_notify_cancel():
                    future.set_result(done)
            return
        except Exception as error:  # of a whole batch; the photos that wait are lost with it
            for future in line.start_anew():
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
