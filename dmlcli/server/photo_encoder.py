"""Photos to vectors for many requests at a time, by the pipeline of `query --files-from`.

Reading, decoding and encoding overlap, and photos that wait are encoded together: a batch forms only under load.
"""

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
    """Encodes photos in the background, first come, first served."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._croppers: dict[CropMode, Cropper] = {}  # opened by the first request that needs them
        self._arriving: SimpleQueue[QueryInput | None] = SimpleQueue()
        self._waiting: deque[Future[Encoded]] = deque()  # in the order of the photos
        self._lock = Lock()  # a photo and its future enter together
        self._opening = Lock()  # one of its own: photos are submitted while a cropper is opened
        self._closed = False
        Thread(target=self._run, name="encode", daemon=True).start()

    def submit(self, photo: QueryInput) -> "Future[Encoded]":
        """Return the future vector of a photo, or why it has none; raises RuntimeError after `close`."""
        future: Future[Encoded] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("the encoder is closed")
            self._waiting.append(future)
            self._arriving.put(photo)
        return future

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

    def close(self) -> None:
        """Encode what has arrived, and end the threads."""
        with self._lock:
            self._closed = True
            self._arriving.put(None)

    def _run(self) -> None:
        while True:
            arriving = self._arriving
            try:
                for done in stream.encode(iter(arriving.get, None), self._encoder.view, self._encoder.forward):
                    future = self._waiting.popleft()
                    if future.set_running_or_notify_cancel():
                        future.set_result(done)
                return
            except Exception as error:  # of a whole batch; the photos that wait are lost with it
                with self._lock:
                    failed, self._waiting = self._waiting, deque()
                    self._arriving = SimpleQueue()
                    arriving.put(None)  # the thread that still reads from it ends
                    if self._closed:
                        self._arriving.put(None)
                for future in failed:
                    if future.set_running_or_notify_cancel():
                        future.set_exception(error)
