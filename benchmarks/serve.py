"""A server under load, beside the same search in `query --files-from -` and in a handler as people write it.

    python benchmarks/serve.py [--backbone mobilenet_v2] [--clients 20] [--photos 500] [--rounds 3] [--soak 20000]
                               [--clip-retrieval PYTHON]

Photos are rendered, 600 x 600 JPEG, the gallery is 10,000 x 512 numbers, weights are random, which changes no time.
Clients send photos one after the other over connections that stay open; they are a process of its own on the same
machine. The empty handler reads forms and does nothing with them, which is what clients and HTTP alone cost. A round
measures all in turn; medians of the rounds. --soak sends as many requests to our server and
prints its memory on the way. --clip-retrieval names a Python that has clip-retrieval and torch: its back end then
searches the same gallery, with the same network in place of CLIP.
"""

import argparse
import base64
import http.client
import json
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
EMPTY = """
import sys, uvicorn
from fastapi import FastAPI, UploadFile
answer = {"hits": [{"row": row, "score": 0.5} for row in range(10)]}
app = FastAPI()
@app.post("/v1/search")
async def search(image: UploadFile):
    await image.read()
    return answer
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
CLIP_RETRIEVAL = """
import importlib.util, json, pathlib, sys, types, torch, torchvision, faiss, pandas
from torchvision import transforms as T
found = importlib.util.find_spec("clip_retrieval")
package = sys.modules["clip_retrieval"] = types.ModuleType("clip_retrieval")  # without its tools for downloads
package.__path__ = list(found.submodule_search_locations)
from clip_retrieval.clip_back import clip_back
name, weights, index, port = sys.argv[1:]
NETWORK
network.load_state_dict(torch.load(weights, weights_only=True))
network.fc = network.classifier = torch.nn.Identity()
network.eval().encode_image = network.forward
look = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([.485, .456, .406], [.229, .224, .225])])
sys.modules["all_clip"] = types.SimpleNamespace(load_clip=lambda *_, **__: (network, look, None))
folder = pathlib.Path("clip_index")
(folder / "metadata").mkdir(parents=True, exist_ok=True)
gallery = faiss.read_index(index)
faiss.write_index(gallery, str(folder / "image.index"))
paths = [f"{row}.jpg" for row in range(gallery.ntotal)]
pandas.DataFrame({"image_path": paths}).to_parquet(folder / "metadata" / "metadata_0.parquet")
pathlib.Path("indices.json").write_text(json.dumps({"shop": str(folder)}))
options = dict(enable_mclip_option=False, provide_aesthetic_embeddings=False, use_jit=False)
clip_back("indices.json", port=int(port), columns_to_return=["image_path"], **options)
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


def clip_request(photo: bytes) -> bytes:
    """Return the bytes of a request for clip-retrieval."""
    asked = {"image": base64.b64encode(photo).decode(), "modality": "image", "num_images": 10, "indice_name": "shop"}
    body = json.dumps(asked).encode()
    return f"POST /knn-service HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def client(port: int, requests: list[bytes], took: list[float], errors: list[int]) -> None:
    """Send photos one after the other over a socket: a client that takes little of the machine from the server."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=300)
    answers = connection.makefile("rb")
    for request in requests:
        since = time.perf_counter()
        connection.sendall(request)
        status = answers.readline().split()[1]
        lines = iter(answers.readline, b"\r\n")
        headers = dict(line.strip().lower().split(b": ", 1) for line in lines)
        answer = answers.read(int(headers[b"content-length"]))
        if status != b"200" or not (b'"hits"' in answer or b'"similarity"' in answer):
            errors.append(int(status))
        took.append(time.perf_counter() - since)
        if headers.get(b"connection") == b"close":
            connection = socket.create_connection(("127.0.0.1", port), timeout=300)
            answers = connection.makefile("rb")


def load(port: int, folder: Path, clients: int, each: int, form: bool) -> Load:
    """Run the clients in this process."""
    written = request if form else clip_request
    photos = [written(file.read_bytes()) for file in sorted(folder.glob("photos/*/*.jpg"))]
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


def measured(folder: Path, port: int, clients: int, each: int, kind: str = "form") -> Load:
    """Run the clients in a process of its own, after a few photos to warm up."""
    command = [sys.executable, __file__, "--load", str(folder), str(port), kind]
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
    parser.add_argument("--load", nargs=3, metavar=("FOLDER", "PORT", "KIND"), help=argparse.SUPPRESS)
    parser.add_argument("--clip-retrieval", metavar="PYTHON")
    asked = parser.parse_args()
    if asked.load:
        print(*load(int(asked.load[1]), Path(asked.load[0]), asked.clients, asked.photos, asked.load[2] == "form"))
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        photographs(folder / "photos", 96)
        query = str(ROOT / "benchmarks" / "query.py")
        subprocess.run([sys.executable, query, "--prepare", asked.backbone, text], check=True)
        setting, place = setting_of(asked.backbone, folder), setting_of(asked.backbone, folder).workspace.parent
        arguments = [asked.backbone, str(setting.weights), str(setting.gallery)]
        peers = {"a handler with torch": ([sys.executable, "-c", PEER.replace("NETWORK", NETWORK), *arguments], "form")}
        if asked.clip_retrieval:
            code = CLIP_RETRIEVAL.replace("NETWORK", NETWORK)
            peers["clip-retrieval"] = ([asked.clip_retrieval, "-c", code, *arguments], "knn")
        found: dict[str, list[Load]] = {name: [] for name in ("serve", *peers, "an empty handler")}
        streams: list[float] = []
        for _ in range(asked.rounds):
            with server(ours(8871), place, 8871):
                found["serve"].append(measured(folder, 8871, asked.clients, asked.photos))
            for name, (command, kind) in peers.items():
                with server([*command, "8872"], place, 8872):
                    few = max(10, asked.photos // 5)
                    found[name].append(measured(folder, 8872, asked.clients, few, kind))
            with server([sys.executable, "-c", EMPTY, "8872"], place, 8872):
                found["an empty handler"].append(measured(folder, 8872, asked.clients, asked.photos))
            streams.append(streamed(folder, asked.backbone, min(asked.clients * asked.photos, 2000)))
            print(*(f"{name} {loads[-1].rate:.1f}" for name, loads in found.items()), f"stream {streams[-1]:.1f}")
        rate = median(load.rate for load in found["serve"]) if asked.rounds else 0.0
        for name, loads in found.items() if asked.rounds else ():
            own, p50, p99 = (median(values) for values in list(zip(*loads, strict=True))[:3])
            print(f"{name:22} {own:6.1f} photos/s, p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, "
                  f"{sum(load.errors for load in loads)} errors, serve x {rate / own:.2f}")  # fmt: skip
        if asked.rounds:
            stream, empty = median(streams), median(load.rate for load in found["an empty handler"])
            print(f"query --files-from -   {stream:6.1f} photos/s, serve x {rate / stream:.2f}; "
                  f"with the work of the empty handler it would be x {1 / (1 + stream / empty):.2f}")  # fmt: skip
        if asked.soak:
            soak(folder, asked.backbone, asked.soak, asked.clients)


if __name__ == "__main__":
    main()
