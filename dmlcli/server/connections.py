"""Connections of uvicorn that are closed if a request does not begin in time."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from dmlcli.server.settings import Limits


class PromptProtocol(HttpToolsProtocol):
    """Closes a connection whose client sends the head of a request too slowly, or nothing at all."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock with the connection."""
        super().connection_made(transport)
        self._start_clock()

    def on_message_begin(self) -> None:
        """Start the clock with the first byte of a further request."""
        super().on_message_begin()
        self._start_clock()

    def on_headers_complete(self) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def _start_clock(self) -> None:
        self._stop_clock()
        self._head_timer = self.loop.call_later(Limits.header_seconds, self.transport.close)

    def _stop_clock(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
