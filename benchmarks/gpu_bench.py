"""What every part of benchmarks/gpu.py uses: photos, the options, networks, command lines, and rows of the report."""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from dmlcli.catalog import open_catalog
from dmlcli.learn.networks import frozen, pretrained
from dmlcli.model import Model
from dmlcli.workspace import Workspace

ROOT = Path(__file__).parents[1]
MOST_BYTES = 40 * 2**20
BATCH = 64

COMMANDS = "Command lines: command | exit code | seconds | GPU MiB"
EMBED = "Embedding: network | how | images/s | lowest cosine to CPU | peak GPU MiB"
PROVIDERS = "Providers, without reading photos: network | provider | images/s | lowest cosine to CPU"
SPEED = "Training: network | how | images/s"
SCORES = "Models trained on both: tune | precision | device | validation MAP@R | Recall@1 | MAP@R"
BLOCKS = "Blocks: what | largest difference to the CPU"
RESUME = "Killed and resumed: killed after epoch | went on to epoch"


def make_photos(source: Path, out: Path, count: int, side: int) -> int:
    """Write `count` square JPEGs of random crops of the photos in `source`, in the same folders; return their bytes."""
    files, rng, size = sorted(source.rglob("*.jpg")), random.Random(0), 0
    if not files:
        raise SystemExit(f"{source} holds no .jpg files")
    for number in range(count):
        file = files[number % len(files)]
        target = out / file.relative_to(source).parent / f"{file.stem}-{number // len(files)}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(file) as image:
            edge = int(min(image.size) * rng.uniform(0.75, 1))
            left, top = (rng.randint(0, full - edge) for full in image.size)
            cropped = image.convert("RGB").resize((side, side), box=(left, top, left + edge, top + edge))
        cropped.save(target, quality=85)
        size += target.stat().st_size
        if size > MOST_BYTES:
            print(f"{number + 1} of {count} photos: more would take over {MOST_BYTES >> 20} MB", flush=True)
            break
    return size


class Bench:
    """The options, a temporary folder with the photos, and the rows and tracebacks of the report."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.device = torch.device(options.device)
        self.photos = folder / "photos"
        self.tables: dict[str, list[list[str]]] = {}
        self.failures: list[str] = []
        self.started = time.monotonic()

    def row(self, table: str, *cells: object) -> None:
        """Add a row to a table and print it at once."""
        self.tables.setdefault(table, []).append([str(cell) for cell in cells])
        print(f"[{time.monotonic() - self.started:5.0f} s] {table.split(':')[0]}:", *cells, flush=True)

    def attempt(self, what: str, run: Callable[..., object], *arguments: object) -> None:
        """Run one part; keep its traceback if it fails, and go on."""
        if self.left() <= 0:
            self.failures.append(f"{what}: not run, the time is used up")
            return
        try:
            run(*arguments)
        except Exception:
            self.failures.append(f"{what}:\n{traceback.format_exc()}")
            print(f"FAILED {self.failures[-1]}", flush=True)

    def left(self) -> float:
        """The seconds until `--limit`."""
        return float(self.options.limit - (time.monotonic() - self.started))

    def network(self, backbone: str) -> Model:
        """A backbone as a model, exported once."""
        start = pretrained.resolve(backbone, self.weights_of(backbone))
        return frozen.save(self.folder / f"frozen-{backbone}", frozen.build(start), start, open_catalog(self.photos))

    def workspace(self, name: str, backbone: str) -> Path:
        """A new workspace that has the backbone already."""
        shutil.copytree(self.network(backbone).folder, Workspace(self.folder / name).frozen)
        return self.folder / name

    def weights_of(self, backbone: str) -> str:
        """The value of `--weights` for a backbone."""
        first = backbone == self.options.backbones[0] and self.options.weights
        return str(Path(self.options.weights).resolve()) if first else "none"

    def synchronize(self) -> None:
        """Wait until the GPU has done what it was asked to."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def command(self, *arguments: object, workspace: str) -> subprocess.CompletedProcess[str]:
        """Run a dmlcli command line, and report its exit code, its seconds and the GPU memory it took."""
        line = [str(part) for part in (*arguments, "-w", self.folder / workspace)]
        with PeakMemory(self.device) as memory:
            started = time.monotonic()
            done = run_line([sys.executable, "-m", "dmlcli", *line], seconds=self.left())
            took = time.monotonic() - started
        shown = " ".join(line).replace(f"{self.folder}/", "").replace(f"{ROOT}/", "").replace(str(Path.cwd()), ".")
        self.row(COMMANDS, f"`{shown}`", done.returncode, f"{took:.1f}", f"{memory.mib:.0f}" if memory.mib else "-")
        if done.returncode != 0:
            self.failures.append(f"dmlcli {shown}: exit {done.returncode}\n{done.stderr[-3000:]}")
            print(done.stderr[-3000:], flush=True)
        return done


def run_line(line: list[str], *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command line; one that takes longer than `seconds` is killed."""
    try:
        return subprocess.run(
            line, capture_output=True, text=True, env=environment(), check=False, timeout=max(seconds, 0)
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, -signal.SIGKILL, "", "stopped: the time is used up")


def environment() -> dict[str, str]:
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([before] if before else [])])}


class PeakMemory:
    """The most GPU memory in use on the whole card inside the block, above what was in use before."""

    def __init__(self, device: torch.device) -> None:
        self.mib, self._cuda, self._ended = 0.0, device.type == "cuda", threading.Event()

    def __enter__(self) -> "PeakMemory":
        self._thread = threading.Thread(target=self._watch)
        if self._cuda:
            torch.cuda.empty_cache()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._cuda:
            self._thread.join()

    def _watch(self) -> None:
        before = torch.cuda.mem_get_info()[0]
        while not self._ended.wait(0.05):
            self.mib = max(self.mib, (before - torch.cuda.mem_get_info()[0]) / 2**20)
