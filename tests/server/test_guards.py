"""Who is answered: tokens, other web pages, limits, slow clients; and the headers of every answer."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server.running import Running, running
from tests.server.test_routes import PHOTO

TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def guarded(storefront: Path) -> Iterator[Running]:
    """A server with a token."""
    with running(storefront, DMLCLI_SERVE_TOKEN=TOKEN) as found:
        yield found


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize("path", ["/v1/index", "/v1/items/1/photo", "/v1/products/x", "/metrics", "/docs", "/nothing"])
def test_nothing_is_answered_without_the_token(guarded: Running, path: str, header: dict[str, str]) -> None:
    with guarded.client(headers=header) as client:
        answer = client.get(path)
    assert answer.status_code == 401 and "token" in answer.json()["error"]
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_page_and_health_need_no_token(guarded: Running) -> None:
    with guarded.client() as client:
        assert [client.get(path).status_code for path in ("/", "/page/app.js", "/healthz")] == [200] * 3


def test_programs_send_the_token_and_pages_log_in(guarded: Running) -> None:
    with guarded.client(headers={"authorization": f"Bearer {TOKEN}"}) as client:
        assert client.get("/v1/index").status_code == 200
    with guarded.client() as client:
        wrong = client.post("/v1/login", json={"token": "wrong"})
        assert wrong.status_code == 401 and not client.cookies
        assert client.post("/v1/login", json={"token": TOKEN}).status_code == 204
        assert client.get("/v1/index").status_code == 200
        cookie = client.cookies["dmlcli"]
    assert TOKEN not in cookie and not any(TOKEN in line for line in guarded.log)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://elsewhere.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "elsewhere.example"}, 403),
        ({"host": "127.0.0.1.elsewhere.example:80"}, 403),
        ({"host": "localhost"}, 200),
        ({}, 200),
    ],
)
def test_other_web_pages_are_not_answered(server: Running, headers: dict[str, str], status: int) -> None:
    with server.client(headers=headers) as client:
        assert client.get("/v1/index").status_code == status
    with server.client(headers={"origin": server.url}) as client:
        answer = client.get("/v1/index")
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


def test_headers_of_all_answers(server: Running) -> None:
    with server.client() as client:
        answers = [client.get(path) for path in ("/", "/v1/index", "/nothing", "/page/style.css")]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe-inline" not in answer.headers["content-security-policy"] and "server" not in answer.headers
    assert answers[1].headers["cache-control"] == "no-store"


def test_the_log_is_json_without_the_query_string(server: Running) -> None:
    with server.client() as client:
        client.get("/v1/products/a%0d%0aforged", params={"index": "secret"})
    time.sleep(0.2)
    line = json.loads(server.log[-1])
    assert (line["path"], line["status"]) == ("/v1/products/a\r\nforged", 400) and "secret" not in server.log[-1]


def connection(server: Running) -> socket.socket:
    place = urlsplit(server.url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=60)


def test_bodies_above_the_limit_are_refused_early(server: Running) -> None:
    with connection(server) as client:  # announced
        client.sendall(b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999\r\n\r\nx")
        assert b" 413 " in client.recv(1000)
    with connection(server) as client:  # in chunks, without an end
        client.sendall(b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        with suppress(OSError):
            for _ in range(40):
                client.sendall(chunk)
        client.settimeout(20)
        with suppress(ConnectionResetError):  # it was closed while chunks were still on their way
            assert b" 413 " in client.recv(1000)
    assert server.search(PHOTO)["hits"]


@pytest.mark.slow
def test_slow_clients_are_cut_off_and_keep_nobody_waiting(server: Running) -> None:
    slow = [connection(server) for _ in range(40)]
    for client in slow[:20]:
        client.sendall(b"GET /v1/index HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")  # its head never ends
    bodies = slow[20:]
    for client in bodies:
        client.sendall(b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\nabc")
    assert server.search(PHOTO)["hits"]
    for client in slow[:20]:
        assert client.recv(1000) == b""  # closed after 10 seconds
    for client in bodies:
        assert b" 408 " in client.recv(1000)
    for client in slow:
        client.close()


def test_one_client_cannot_take_all_places(server: Running) -> None:
    waiting = [connection(server) for _ in range(33)]
    try:
        for client in waiting[:32]:
            client.sendall(b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\nabc")
        time.sleep(0.3)
        waiting[32].sendall(b"GET /v1/index HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        refused = http.client.HTTPResponse(waiting[32])
        refused.begin()
        assert refused.status == 429 and refused.headers["retry-after"] == "1"
    finally:
        for client in waiting:
            client.close()
    time.sleep(0.3)
    assert server.search(PHOTO)["hits"]
