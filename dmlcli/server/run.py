"""Start a server, serve until a signal comes, finish the open requests."""

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import uvicorn
from threadpoolctl import threadpool_limits

from dmlcli import progress
from dmlcli.errors import CannotRun
from dmlcli.server.app import build_app
from dmlcli.server.connections import PromptProtocol
from dmlcli.server.open_index import IndexWatcher, OpenIndex
from dmlcli.server.search_service import SearchService
from dmlcli.server.settings import ServerSettings

_BACKLOG = 128  # connections that wait to be accepted
_KEEP_ALIVE = 30  # seconds that a connection waits for its next request


def serve(indexes: Sequence[OpenIndex], settings: ServerSettings, started: Callable[[str], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        indexes: what is searched; the first is the default.
        settings: of the server.
        started: called with the address of the page once requests are accepted.

    Raises:
        CannotRun: the address cannot be used.
    """
    listening = _listen(settings)
    service = SearchService(indexes)
    config = uvicorn.Config(
        build_app(service, settings),
        http=PromptProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=settings.limits.drain_seconds,
    )
    started(settings.url(listening.getsockname()[1]))
    progress.listen(_Log())
    watcher = IndexWatcher(list(indexes))
    with threadpool_limits(1):  # searches run side by side; threads inside one would wait for each other
        _Server(config).run(sockets=[listening])
    watcher.close()
    service.close()


def _listen(settings: ServerSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise CannotRun(
            f"cannot listen on {settings.host}, port {settings.port}: {getattr(error, 'strerror', None) or error}",
            hint="choose another one with --port; 0 takes any that is free",
        ) from error


class _Server(uvicorn.Server):
    """Ends without an error when a signal stops it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Log(progress.Silent):
    """Notes and warnings as JSON lines on stderr, between those of the requests."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def note(self, message: str) -> None:
        """Leave notes out, except those about indexes: others belong to single requests."""
        if message.startswith("index "):
            self._write("info", message)

    def warn(self, message: str) -> None:
        """Write a warning once."""
        if message not in self._warned:
            self._warned.add(message)
            self._write("warning", message)

    def _write(self, level: str, message: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        print(json.dumps({"time": now, "level": level, "message": message}), file=sys.stderr, flush=True)
