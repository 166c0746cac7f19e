"""A server under load, beside the same search in `query --files-from -` and in a handler as people write it.

    python benchmarks/serve.py [--backbone mobilenet_v2] [--clients 20] [--photos 500] [--rounds 3] [--soak 20000]

Photos are rendered, 600 x 600 JPEG, the gallery is 10,000 x 512 numbers, weights are random, which changes no time.
Clients send photos one after the other over connections that stay open; they are a process of its own on the same
machine. A round measures all three in turn; medians of the rounds. --soak sends as many requests to our server and
prints its memory on the way.
"""

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks.query import NETWORK, dmlcli, photographs, setting_of  # noqa: E402

PEER = """
import sys, torch, torchvision, faiss, uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image
from torchvision import transforms as T
name, weights, index, port = sys.argv[1:]
NETWORK
network.load_state_dict(torch.load(weights, weights_only=True))
network.fc = network.classifier = torch.nn.Identity()
network.eval()
look = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([.485, .456, .406], [.229, .224, .225])])
index = faiss.read_index(index)
app = FastAPI()
@app.post("/v1/search")
def search(image: UploadFile):
    with torch.inference_mode():
        pixels = look(Image.open(image.file).convert("RGB"))[None]
        vector = torch.nn.functional.normalize(network(pixels)).numpy()
    scores, rows = index.search(vector, 10)
    return {"hits": [{"row": int(row), "score": float(score)} for row, score in zip(rows[0], scores[0])]}
uvicorn.run(app, port=int(port), log_level="error")
"""
BOUNDARY = "a-boundary-that-no-photo-contains"


class Load(NamedTuple):
    """What clients saw."""

    rate: float  # photos a second
    p50: float  # seconds
    p99: float
    errors: int


def request(photo: bytes) -> bytes:
    """Return the bytes of a request, as a browser sends a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
    body = f"{head}Content-Type: image/jpeg\r\n\r\n".encode() + photo + f"\r\n--{BOUNDARY}--\r\n".encode()
    head = f"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode() + body


def client(port: int, requests: list[bytes], took: list[float], errors: list[int]) -> None:
    """Send photos one after the other over a socket: a client that takes little of the machine from the server."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection, connection.makefile("rb") as answers:
        for request in requests:
            since = time.perf_counter()
            connection.sendall(request)
            status = int(answers.readline().split()[1])
            length = 0
            while line := answers.readline().strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            if b'"hits"' not in answers.read(length) or status != 200:
                errors.append(status)
            took.append(time.perf_counter() - since)


def load(port: int, folder: Path, clients: int, each: int) -> Load:
    """Run the clients in this process."""
    photos = [request(file.read_bytes()) for file in sorted(folder.glob("photos/*/*.jpg"))]
    took: list[float] = []
    errors: list[int] = []
    rows = [[photos[(number * each + place) % len(photos)] for place in range(each)] for number in range(clients)]
    threads = [threading.Thread(target=client, args=(port, bodies, took, errors)) for bodies in rows]
    since = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - since
    took.sort()
    return Load(len(took) / seconds, took[len(took) // 2], took[int(0.99 * len(took))], len(errors))


@contextmanager
def server(command: list[str], folder: Path, port: int) -> Iterator[int]:
    """Start a server, wait until it answers, yield the number of its process."""
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise SystemExit(f"no answer: {(folder / 'server.log').read_text()[-2000:]}")
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def measured(folder: Path, port: int, clients: int, each: int) -> Load:
    """Run the clients in a process of its own, after a few photos to warm up."""
    command = [sys.executable, __file__, "--load", str(folder), str(port)]
    for count in (5, each):
        done = subprocess.run(
            [*command, "--clients", str(clients), "--photos", str(count)], check=True, capture_output=True, text=True
        )
    rate, p50, p99, errors = done.stdout.split()
    return Load(float(rate), float(p50), float(p99), int(errors))


def streamed(folder: Path, backbone: str, count: int) -> float:
    """Return the photos a second of `query --files-from -`, without its start."""
    files = sorted(folder.glob("photos/*/*.jpg"))

    def seconds(some: int) -> float:
        paths = "\n".join(str(files[place % len(files)]) for place in range(some))
        since = time.perf_counter()
        place = setting_of(backbone, folder).workspace.parent
        subprocess.run(
            dmlcli("query", "--files-from", "-", "--format", "jsonl"),
            cwd=place,
            input=paths.encode(),
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - since

    seconds(16)
    return (count - 16) / (seconds(count) - seconds(16))


def memory(process: int) -> float:
    """Return the memory of a process in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


def ours(port: int) -> list[str]:
    return dmlcli("serve", "--port", port)


def soak(folder: Path, backbone: str, count: int, clients: int) -> None:
    place, port = setting_of(backbone, folder).workspace.parent, 8871
    with server(ours(port), place, port) as process:
        for part in range(11):
            if part:
                found = measured(folder, port, clients, count // clients // 10)
                if found.errors:
                    raise SystemExit(f"{found.errors} errors")
            print(f"requests {part * count // 10:>6}   memory {memory(process):6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--photos", type=int, default=500, help="of each client")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--load", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.load:
        print(*load(int(asked.load[1]), Path(asked.load[0]), asked.clients, asked.photos))
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        photographs(folder / "photos", 96)
        query = str(ROOT / "benchmarks" / "query.py")
        subprocess.run([sys.executable, query, "--prepare", asked.backbone, text], check=True)
        setting, place = setting_of(asked.backbone, folder), setting_of(asked.backbone, folder).workspace.parent
        peer = [sys.executable, "-c", PEER.replace("NETWORK", NETWORK), asked.backbone]
        peer += [str(setting.weights), str(setting.gallery), "8872"]
        rows: list[tuple[Load, Load, float]] = []
        for _ in range(asked.rounds):
            with server(ours(8871), place, 8871):
                a = measured(folder, 8871, asked.clients, asked.photos)
            with server(peer, place, 8872):
                b = measured(folder, 8872, asked.clients, max(10, asked.photos // 5))
            rows.append((a, b, streamed(folder, asked.backbone, min(asked.clients * asked.photos, 2000))))
            print(f"{a}   handler {b}   stream {rows[-1][2]:.1f}", flush=True)
        if rows:
            rate, other = median(row[0].rate for row in rows), median(row[1].rate for row in rows)
            stream = median(row[2] for row in rows)
            times = [1000 * median(getattr(row[0], name) for row in rows) for name in ("p50", "p99")]
            print(f"serve {rate:.1f} photos/s, p50 {times[0]:.0f} ms, p99 {times[1]:.0f} ms, "
                  f"{sum(row[0].errors for row in rows)} errors")  # fmt: skip
            print(f"x {rate / stream:.2f} of query --files-from - ({stream:.1f}), x {rate / other:.2f} of a handler "
                  f"with torch ({other:.1f}, p99 {1000 * median(row[1].p99 for row in rows):.0f} ms)")  # fmt: skip
        if asked.soak:
            soak(folder, asked.backbone, asked.soak, asked.clients)


if __name__ == "__main__":
    main()
