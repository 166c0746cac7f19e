"""A server as a process of its own, and requests to it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

_STARTED = re.compile(r"serving .* at (http://\S+) ")


class Running(NamedTuple):
    """A server that answers."""

    url: str
    process: "subprocess.Popen[str]"
    log: list[str]  # what it has written to stderr so far

    def client(self, **options: Any) -> httpx.Client:
        """Return a client that knows its address."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, **options)

    def search(self, photo: Path | bytes, **options: Any) -> dict[str, Any]:
        """Return the answer to a photo."""
        with self.client() as client:
            data = photo if isinstance(photo, bytes) else photo.read_bytes()
            answer = client.post("/v1/search", params=options, content=data, headers={"content-type": "image/jpeg"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and what was written to stdout."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        return self.process.wait(timeout=60), out


@contextmanager
def running(cwd: Path, *arguments: object, **environment: str) -> Iterator[Running]:
    """Start a server on a free port, and end it with the block."""
    port = () if "--port" in arguments else ("--port", "0")
    command = [sys.executable, "-m", "dmlcli", "serve", *port, *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    log: list[str] = []
    assert process.stderr is not None and process.stdout is not None
    for line in process.stderr:
        log.append(line)
        if found := _STARTED.search(line):
            break
    else:
        raise AssertionError(f"the server has ended with {process.wait()}: {''.join(log)}")
    rest = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    rest.start()
    try:
        yield Running(found[1], process, log)
    finally:
        process.kill()
        process.wait()
        rest.join()
        process.stderr.close()
        process.stdout.close()
