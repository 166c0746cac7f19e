"""Some two hundred requests of people who mean harm: a fitting status, no trace, no path, and a server that lives."""

import io
import json
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from PIL import Image

from tests.conftest import encoded
from tests.server.running import Running
from tests.server.test_routes import PHOTO
from tests.server.test_url_photos import PRIVATE

TRAVERSALS = [
    "/page/../app.py",
    "/page/..%2fapp.py",
    "/page/%2e%2e/settings.py",
    "/page/....//....//etc/passwd",
    "/page//etc/passwd",
    "/page/..%5c..%5capp.py",
    "/page/%00",
    "/page/index.html%00.png",
    "/v1/items/../../etc/passwd",
    "/v1/items/1/..%2f..%2fphoto",
    "/v1/items/-1/photo",
    "/v1/items/1e3/photo",
    "/v1/items/0x1/photo",
    "/v1/items/1;drop/photo",
    "/v1/items/%2fetc%2fpasswd/photo",
    "/v1/products/..%2f..%2f..%2fetc%2fpasswd",
    "/v1/products/%27%20or%201=1--",
    "/v1/products/%00",
    "/../../../../etc/passwd",
    "//etc/passwd",
    "/etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/.git/config",
    "/.dmlcli/model/model.json",
]
WHERE = [
    "1=1; drop table items",
    "price < 20; attach database 'x' as y",
    "1 union select * from sqlite_master",
    "load_extension('x')",
    "(select path from items)",
    "path like '%' or readfile('/etc/passwd')",
    "randomblob(1000000000)",
    "price < 20 -- comment",
    "/* */ 1",
    "pragma table_info(items)",
    "' or ''='",
    "price in (select 1)",
    "zeroblob(1<<30)",
    "printf('%1000000000d', 1) = 1",
    "category like '%" + "a%" * 900 + "'",
    "(" * 1500,
    "not " * 400 + "1",
    "\x00",
    "price < 1e999999",
    "price < 9" + "9" * 1500,
    "category regexp '(a+)+$'",
    "category match 'x'",
    "\ud800",
]


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it has so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def bodies() -> Iterator[bytes]:
    """Files that are no photos, or photos that would take all memory."""
    photo = PHOTO.read_bytes()
    yield png_bomb(100_000, 100_000)
    yield png_bomb(2_000_000_000, 2)
    yield png_bomb(0, 0)
    yield png_bomb(7000, 7000)  # below the limit, and cut off
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("photo.jpg", bytes(50_000_000))
    yield archive.getvalue()
    yield zlib.compress(bytes(50_000_000))
    yield b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><svg>&a;</svg>"
    yield b"%!PS\n(/etc/passwd) run"
    yield b"push graphic-context\nfill 'url(https://127.0.0.1/)'"
    yield b"GIF89a" + b"\xff" * 4000
    yield b"RIFF\xff\xff\xff\xffWEBPVP8 " + bytes(100)
    yield b"II*\x00\x08\x00\x00\x00" + b"\xff" * 500
    yield b"BM" + b"\xff" * 200
    yield b"\xff\xd8\xff" + b"\xff" * 100_000
    yield photo[: len(photo) // 2]
    yield photo[:20] + b"\x00" * 5000 + photo[20:]
    yield encoded(Image.new("1", (9000, 9000)))
    yield b"\x00" * 1_000_000
    for place in range(0, len(photo), max(1, len(photo) // 40)):
        yield photo[:place] + bytes([photo[place] ^ 0xFF]) + photo[place + 1 :]


HEADS = [
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF1\r\n",
    b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: gzip\r\n\r\nx",
    b"GET /\r\nX: y HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    bytes(range(256)) * 20,
]


def is_harmless(status: int, text: str, server: Running) -> None:
    """An error of the tool, or an answer; without trace, paths or an accident."""
    assert status < 500 or status == 503, text
    for sign in ("Traceback", 'File "', "root:x:", str(server.process.args), "/dmlcli/", "site-packages"):
        assert sign not in text, text


def test_no_path_leads_out(server: Running) -> None:
    with server.client() as client:
        for path in TRAVERSALS:
            answer = client.get(path)
            is_harmless(answer.status_code, answer.text, server)
            assert answer.status_code in (400, 404), path


def test_no_expression_does_more_than_filter(server: Running) -> None:
    with server.client() as client:
        for where in WHERE:
            given = {"like": "id:1", "where": where}
            body = json.dumps(given).encode("utf-8", "surrogatepass")
            answer = client.post("/v1/search", content=body, headers={"content-type": "application/json"})
            is_harmless(answer.status_code, answer.text, server)
            assert answer.status_code in (200, 400), (where, answer.text)


def test_no_file_is_more_than_a_photo_that_cannot_be_read(server: Running) -> None:
    with server.client() as client:
        for body in bodies():
            for kind in ("image/jpeg", "application/octet-stream"):
                answer = client.post("/v1/search", content=body, headers={"content-type": kind})
                is_harmless(answer.status_code, answer.text, server)
                assert answer.status_code in (200, 413, 422), answer.text  # one bit of a photo may change nothing
    assert server.search(PHOTO)["hits"]


def test_no_form_does_harm(server: Running) -> None:
    end = b"\r\n--x--\r\n"
    field = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n'
    photo = b'--x\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\na'
    parts = [
        photo % b"../../etc/passwd" + end,
        photo % b"a\r\nSet-Cookie: b" + end,
        b"--x\r\nContent-Disposition: form-data\r\n\r\na" + end,
        b"--x\r\n" + b"A" * 100_000 + b"\r\n\r\na" + end,
        field % b"where" + b"a" * 3_000_000 + end,
        field % b"top_k" + b"999999999999" + end,
        b"--x" * 10_000,
        b"",
        b"--y\r\n\r\n",
        (photo % b"a" + b"\r\n") * 600 + b"--x--\r\n",
        (field % b"top_k" + b"1\r\n") * 5000 + b"--x--\r\n",
    ]
    with server.client() as client:
        for body in parts:
            for path in ("/v1/search", "/v1/search/batch"):
                kind = {"content-type": "multipart/form-data; boundary=x"}
                answer = client.post(path, content=body, headers=kind)
                is_harmless(answer.status_code, answer.text, server)
                assert answer.status_code in (200, 400, 413, 422) and "set-cookie" not in answer.headers
        answer = client.post("/v1/search", content=b"x", headers={"content-type": "multipart/form-data"})
        assert answer.status_code == 400


def test_no_json_does_harm(server: Running) -> None:
    texts = [b"[" * 100_000, b'{"like": ' + b'{"a":' * 5000, b"null", b"[]", b'{"like": null}', b'{"like": ["a"]}']
    texts += [b'{"like": "a", "top_k": 1e400}', b'{"like": "a", "top_k": true}', b'{"__proto__": 1}', b"NaN", b"\xff"]
    texts += [json.dumps({"url": url}).encode() for url in PRIVATE]
    with server.client() as client:
        for text in texts:
            answer = client.post("/v1/search", content=text, headers={"content-type": "application/json"})
            is_harmless(answer.status_code, answer.text, server)
            assert answer.status_code == 400, (text[:50], answer.text)


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_no_head_does_harm(server: Running, head: bytes) -> None:
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as client:
        try:
            client.sendall(head)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            answer = b""
    status = int(answer.split()[1]) if answer else 400
    is_harmless(status, answer.decode("latin-1"), server)
    assert server.process.poll() is None and server.search(PHOTO, top_k=1)["hits"]
