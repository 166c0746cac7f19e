"""Queries answered by a running server (`query --server`): nothing is opened here, so nothing has to start."""

import base64
import http.client
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from threading import local
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from dmlcli.errors import CannotRun, ImageError, UsageError
from dmlcli.report.query import Answer, Columns, Hit
from dmlcli.report.skipped import Skipped
from dmlcli.search.query_inputs import QueryInput

TOKEN = "DMLCLI_SERVE_TOKEN"
_SECONDS = 60.0  # that a server may take for an answer
_AT_ONCE = 4  # requests; the server batches them
_NOT_IMAGES = (413, 415, 422)  # statuses of a photo that cannot be searched with
_HINT = "dmlcli serve starts one; --server http://127.0.0.1:8765"


class Server(NamedTuple):
    """The address of a server, and the index to search there."""

    url: str
    name: str | None  # of the index; None: the first one

    def columns(self) -> Columns:
        """Return the columns of the index; raises CannotRun where no server answers."""
        with closing(_Connection(self.url)) as connection:
            found = connection.ask("GET", "/v1/index", b"", {})
        indexes = {one["name"]: one for one in found["indexes"]}
        if self.name is not None and self.name not in indexes:
            raise UsageError(f"the server has no index {self.name}", hint=f"it has {', '.join(indexes)}")
        chosen = indexes[self.name] if self.name is not None else found["indexes"][0]
        return Columns({column["name"]: column["decimals"] for column in chosen["columns"]})

    def answers(
        self,
        photos: Iterable[QueryInput],
        likes: Iterable[str],
        options: Mapping[str, Any],
        skipped: list[Skipped] | None,
    ) -> Iterator[Answer]:
        """Yield the answers in the order of the photos, then those to indexed products and images.

        Args:
            photos: files or bytes.
            likes: products, or images of the index.
            options: of the search, as the server calls them; with `fuse` there is one answer for all photos.
            skipped: receives photos that cannot be read; None: such a photo raises an error.
        """
        given = {name: value for name, value in options.items() if value not in (None, "", [], ())}
        fuse = given.pop("fuse", False)
        given |= {"index": self.name} if self.name is not None else {}
        address = f"/v1/search?{urlencode(given, doseq=True)}"
        thread, connections = local(), ExitStack()  # a connection for each thread

        def ask(name: str, body: bytes, kind: str) -> Answer:
            if not hasattr(thread, "connection"):
                thread.connection = connections.enter_context(closing(_Connection(self.url)))
            found = thread.connection.ask("POST", address, body, {"content-type": kind})
            return _answer(found, name, self.url)

        def work() -> Iterator[tuple[str, bytes, str]]:
            yield from _fused(photos) if fuse else _each(photos, skipped)
            for name in likes:
                yield name, json.dumps({"like": name}).encode(), "application/json"

        waiting: deque[tuple[str, Future[Answer]]] = deque()
        with connections, ThreadPoolExecutor(_AT_ONCE) as pool:
            for name, body, kind in work():
                waiting.append((name, pool.submit(ask, name, body, kind)))
                if len(waiting) > _AT_ONCE:
                    yield from _taken(*waiting.popleft(), skipped)
            while waiting:
                yield from _taken(*waiting.popleft(), skipped)


class _Connection:
    """A connection that stays open for many requests."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"invalid --server {url}", hint=_HINT)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._url, self._connection = url, kind(parts.hostname, parts.port, timeout=_SECONDS)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def ask(self, method: str, address: str, body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        """Return the answer of the server as JSON; raises its errors as those of the command line."""
        token = os.environ.get(TOKEN)
        headers = headers | ({"authorization": f"Bearer {token}"} if token else {})
        try:
            self._connection.request(method, address, body, headers)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise CannotRun(f"no answer from {self._url}: {error or type(error).__name__}", hint=_HINT) from error
        try:
            found: dict[str, Any] = json.loads(data)
        except ValueError as error:
            raise CannotRun(f"{self._url} is not a server of dmlcli", hint=_HINT) from error
        if answer.status != 200:
            raise _error(answer.status, found)
        return found


def _error(status: int, found: Mapping[str, Any]) -> UsageError | CannotRun:
    """Return an error of the server as the one that the command line would have raised."""
    message, hint = str(found.get("error", f"status {status}")), str(found.get("hint", ""))
    if status in _NOT_IMAGES:
        return ImageError(message, hint=hint)
    if status == 401:
        return CannotRun(message, hint=f"set {TOKEN}")
    return UsageError(message, hint=hint) if status == 400 else CannotRun(message, hint=hint)


def _each(photos: Iterable[QueryInput], skipped: list[Skipped] | None) -> Iterator[tuple[str, bytes, str]]:
    for photo in photos:
        try:
            yield photo.name, photo.read_bytes(), "application/octet-stream"
        except ImageError as error:
            _skip(photo.name, error, skipped)


def _fused(photos: Iterable[QueryInput]) -> Iterator[tuple[str, bytes, str]]:
    every = list(photos)
    if every:
        images = [base64.b64encode(photo.read_bytes()).decode("ascii") for photo in every]
        name = f"{every[0].name} and {len(every) - 1} more" if len(every) > 1 else every[0].name
        yield name, json.dumps({"images": images}).encode(), "application/json"


def _taken(name: str, future: "Future[Answer]", skipped: list[Skipped] | None) -> Iterator[Answer]:
    try:
        yield future.result()
    except ImageError as error:
        _skip(name, error, skipped)


def _skip(name: str, error: ImageError, skipped: list[Skipped] | None) -> None:
    if skipped is None:
        raise ImageError(f"{'stdin' if name == '-' else name}: {error}", hint=error.hint) from error
    skipped.append(Skipped(name, str(error)))


def _answer(found: Mapping[str, Any], name: str, url: str) -> Answer:
    """Return the answer of a server with the name of the photo here; images are paths if it shows them, else URLs."""
    hits = []
    for values in found["hits"]:
        path = values.pop("path", None)
        values["image"] = path or f"{url.rstrip('/')}{values['image']}"
        hits.append(Hit(**values | {"box": tuple(values["box"]) if values["box"] else None}))
    others = {key: found[key] for key in ("closest", "min_score", "match", "min_match")}
    crop = tuple(found["crop"]) if found["crop"] else None
    return Answer(name, tuple(hits), **others, crop=crop)
