"""Photos behind URLs: public addresses alone, whatever a URL looks like; size and redirects are bounded."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dmlcli.errors import CannotRun, DmlcliError, TooLargeError, UsageError
from dmlcli.server import url_photos
from tests.server.running import running

PRIVATE = [
    "http://127.0.0.1/a.jpg",
    "http://localhost/a.jpg",
    "http://0.0.0.0/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fd00::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[2002:7f00:1::]/",
    "http://10.1.2.3/",
    "http://192.168.0.1/",
    "http://172.16.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://127.1/",
    "http://017700000001/",
    "https://user:password@93.184.216.34/",
    "http://93.184.216.34:22/",
    "file:///etc/passwd",
    "ftp://example.com/a.jpg",
    "gopher://127.0.0.1:70/",
    "//127.0.0.1/",
    "http:///a.jpg",
    "no url",
    "http://exa\r\nmple.com/",
]


@pytest.mark.parametrize("url", PRIVATE)
def test_addresses_that_are_not_public_are_refused(url: str) -> None:
    with pytest.raises(DmlcliError) as found:
        asyncio.run(url_photos.fetch(url, 1000))
    assert isinstance(found.value, UsageError | CannotRun)


def test_a_server_refuses_them_too(storefront: Path) -> None:
    with running(storefront, "--allow-urls") as server, server.client() as client:
        for url in PRIVATE[:8]:
            answer = client.post("/v1/search", json={"url": url})
            assert answer.status_code in (400, 503), answer.text
            assert "127.0.0.1" not in answer.json()["error"]
        assert client.get("/v1/index").json()["accepts_urls"] is True


class _Photos(BaseHTTPRequestHandler):
    """A web server whose paths are what they do."""

    def do_GET(self) -> None:
        place, _, rest = self.path.strip("/").partition("/")
        if place == "redirect":
            self.send_response(302)
            self.send_header("location", f"/{rest}" if rest else "http://10.0.0.1/")
            self.end_headers()
            return
        self.send_response(404 if place == "missing" else 200)
        self.end_headers()
        self.wfile.write(bytes(2000) if place == "large" else b"photo of " + self.headers["host"].encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server on this machine, which counts as public; other private addresses do not."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Photos)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    is_public = url_photos._is_public
    monkeypatch.setattr(url_photos, "_is_public", lambda address: address == "127.0.0.1" or is_public(address))
    monkeypatch.setitem(url_photos._PORTS, "http", server.server_port)
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_photo_is_fetched_by_the_name_of_its_server(web: str) -> None:
    found = asyncio.run(url_photos.fetch(f"{web}/photo.jpg", 1000))
    assert found.startswith(b"photo of localhost")
    assert asyncio.run(url_photos.fetch(f"{web}/redirect/photo.jpg", 1000)) == found


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("large", TooLargeError),
        ("missing", CannotRun),
        ("redirect", UsageError),
        ("redirect/redirect/redirect/redirect/photo", CannotRun),
    ],
)
def test_sizes_and_redirects_are_bounded(web: str, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        asyncio.run(url_photos.fetch(f"{web}/{path}", 1000))
