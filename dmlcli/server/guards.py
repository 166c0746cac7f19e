"""What stands around all routes: token, origin, limits, headers, access log. Plain ASGI, so that bodies stream."""

import asyncio
import hashlib
import hmac
import json
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dmlcli.server.answer_json import SCHEMA
from dmlcli.server.measures import Measures
from dmlcli.server.settings import ServerSettings

COOKIE = "dmlcli"
BATCH = "/v1/search/batch"
_OPEN_TO_ALL = ("/", "/healthz", "/v1/login")  # without a token; and the files of the page
_DISCARD_SECONDS = 1.0
_HEADERS = [  # of all answers that do not have others
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=(), interest-cohort=()"),
    (b"x-permitted-cross-domain-policies", b"none"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]


class Refused(Exception):
    """A request that is not answered: a status and the reason."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.hint = status, hint


def error_response(status: int, message: str, hint: str = "", exit_code: int = 2) -> Response:
    """Return an error as the command line prints it with --format json.

    Args:
        status: of HTTP.
        message: the problem.
        hint: the next step; may be empty.
        exit_code: that of the same error on the command line.
    """
    body = {"schema": SCHEMA, "error": message, "hint": hint, "exit_code": exit_code}
    headers = {401: {"www-authenticate": "Bearer"}, 429: {"retry-after": "1"}, 503: {"retry-after": "1"}}
    return JSONResponse(body, status, headers.get(status))


def session_value(token: str) -> str:
    """Return what the cookie of a page holds that has logged in: the token cannot be read from it."""
    return hmac.new(token.encode(), b"dmlcli session", hashlib.sha256).hexdigest()


class Guards:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, measures: Measures) -> None:
        self._app, self._settings, self._measures = app, settings, measures
        self._open: Counter[str] = Counter()  # requests that are being answered, by the address of the client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._settings, self._measures)
        client = (scope.get("client") or ("",))[0]
        try:
            self._check(scope, client)
            self._open[client] += 1
            self._measures.open.inc()
            try:
                await self._app(scope, exchange.receive, exchange.send)
            finally:
                self._measures.open.dec()
                self._open[client] -= 1
                if not self._open[client]:
                    del self._open[client]
        except Refused as refused:
            await exchange.refuse(refused)
        except Exception:  # a bug: its trace goes to the log, never to the client
            exchange.failure = traceback.format_exc()
            await exchange.refuse(Refused(500, "internal error", hint="the log of the server has the reason"))
        finally:
            exchange.log()

    def _check(self, scope: Scope, client: str) -> None:
        """Raise Refused for a request that must not be answered, before its body is read."""
        limits, headers = self._settings.limits, Headers(scope=scope)
        if sum(self._open.values()) >= limits.open_requests:
            raise Refused(503, "the server is busy", hint="try again in a second")
        if self._open[client] >= limits.open_requests_each:
            raise Refused(429, "too many requests at a time", hint=f"at most {limits.open_requests_each} may be open")
        self._check_origin(headers)
        if self._settings.token is not None and not _is_open_to_all(scope["path"]):
            self._check_token(headers, self._settings.token)

    def _check_origin(self, headers: Headers) -> None:
        """Refuse requests of other web pages, and other names for this machine, behind which such a page can hide."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise Refused(403, "requests of other web pages are not answered")
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        if self._settings.token is None and name not in ("localhost", "127.0.0.1", "[::1]", self._settings.host):
            raise Refused(
                403, f"this server is not called {name}", hint="use http://127.0.0.1, or start it with --token"
            )

    def _check_token(self, headers: Headers, token: str) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return
        if hmac.compare_digest(_cookie(headers).encode(), session_value(token).encode()):
            return
        raise Refused(401, "the token is missing or wrong", hint="send the header Authorization: Bearer TOKEN")


class _Exchange:
    """One request and its answer, as they pass by: the body within its limits, the headers, the log."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: ServerSettings, measures: Measures
    ) -> None:
        limits, self._scope, self._receive, self._send = settings.limits, scope, receive, send
        self._measures = measures
        self._is_batch = scope["path"] == BATCH
        self._most = limits.batch_bytes if self._is_batch else limits.body_bytes
        self._seconds = limits.body_seconds
        self._since = time.perf_counter()
        self._received = self._sent = self._status = 0
        self._arrived = False  # the whole body
        self.failure = ""

    async def receive(self) -> Message:
        """Return the next part of the body; raises Refused where it is too long or too slow."""
        if self._arrived:
            return await self._receive()
        announced = Headers(scope=self._scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > self._most:
            raise Refused(413, f"the body has more than {self._most:,} bytes")
        left = self._seconds if self._is_batch else self._seconds - (time.perf_counter() - self._since)
        try:
            async with asyncio.timeout(max(left, 0.001)):
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(408, f"the body did not arrive in {self._seconds:g} seconds") from error
        self._received += len(message.get("body", b""))
        if self._received > self._most:
            raise Refused(413, f"the body has more than {self._most:,} bytes")
        self._arrived = message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the headers of all answers."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            given = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(header for header in _HEADERS if header[0] not in given)]
            if not self._arrived:
                MutableHeaders(scope=message)["connection"] = "close"
                await self._discard_rest()
        else:
            self._sent += len(message.get("body", b""))
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Send an error, unless an answer has begun."""
        if self._status:
            return
        response = error_response(refused.status, str(refused), refused.hint, 70 if refused.status == 500 else 2)
        await response(self._scope, self._receive, self.send)

    async def _discard_rest(self) -> None:
        """Read what is left of the body for a moment: a client that still sends would not see the answer."""
        if self._status == 408:
            return
        discarded = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._arrived and discarded < self._most:
                    message = await self._receive()
                    discarded += len(message.get("body", b""))
                    self._arrived = message["type"] == "http.disconnect" or not message.get("more_body", False)

    def log(self) -> None:
        """Write a line about the request to stderr, and count it."""
        seconds = time.perf_counter() - self._since
        route: Any = self._scope.get("route")
        path = getattr(route, "path", None) or "other"
        self._measures.requests.labels(path, str(self._status)).inc()
        self._measures.seconds.labels(path).observe(seconds)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": (self._scope.get("client") or ("",))[0],
            "method": self._scope["method"],
            "path": self._scope["path"],
            "status": self._status,
            "ms": round(1000 * seconds, 1),
            "received": self._received,
            "sent": self._sent,
        }
        print(json.dumps(line | ({"failure": self.failure} if self.failure else {})), file=sys.stderr, flush=True)


def _is_open_to_all(path: str) -> bool:
    return path in _OPEN_TO_ALL or path.startswith("/page/")


def _cookie(headers: Headers) -> str:
    """Return the value of the cookie of this server; "" without it."""
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
