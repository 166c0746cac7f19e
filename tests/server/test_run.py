"""Start and end of a server, and what it refuses to start with."""

import json
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dmlcli.report import schema
from tests.conftest import Cli, process
from tests.server.running import running
from tests.server.test_routes import PHOTO


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_open_requests(storefront: Path, number: int) -> None:
    with running(storefront, "--format", "json") as server:
        found: list[bool] = []

        def search() -> None:
            try:
                while True:
                    found.append(bool(server.search(PHOTO)["hits"]))
            except OSError:  # refused: it does not listen any more
                pass
            except Exception as error:  # httpx has an error of its own for this
                assert type(error).__name__ in ("ConnectError", "RemoteProtocolError", "ReadError"), error

        clients = [threading.Thread(target=search) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(1)
        code, out = server.stop(number)
        for client in clients:
            client.join()
    assert code == 0 and found and all(found)
    report = json.loads(out)
    assert not list(Draft202012Validator(schema("serve")).iter_errors(report)) and report["url"] == server.url
    assert not any('"status": 5' in line for line in server.log)


def test_without_index_or_with_a_taken_port_it_says_so(storefront: Path, tmp_path: Path) -> None:
    done = process("serve", cwd=tmp_path)
    assert done.returncode == 4 and b"no workspace found" in done.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = process("serve", "--port", taken.getsockname()[1], cwd=storefront)
    assert done.returncode == 4 and b"cannot listen on 127.0.0.1" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "0.0.0.0"], "needs a token"),
        (["--host", "example.com"], "needs a token"),
        (["--token", "short"], "fewer than 16 characters"),
        (["--index", "a=x", "--index", "a=y"], "a name of its own"),
        (["--port", "70000"], "--port"),
    ],
)
def test_unsafe_and_ambiguous_options_are_refused(storefront: Path, words: list[str], message: str, cli: Cli) -> None:
    found = cli("serve", "-w", storefront / ".dmlcli", *words)
    assert found.code == 2 and message in found.err


def test_other_machines_need_the_token_and_get_answers(storefront: Path) -> None:
    with running(storefront, "--host", "0.0.0.0", "--token", "x" * 16) as server:
        with server.client() as client:
            port = client.base_url.port
        import httpx

        ask = {"url": f"http://127.0.0.1:{port}/v1/index", "trust_env": False}
        assert httpx.get(**ask).status_code == 401  # type: ignore[arg-type]
        assert httpx.get(**ask, headers={"authorization": f"Bearer {'x' * 16}"}).status_code == 200  # type: ignore[arg-type]
