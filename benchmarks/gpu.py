"""Measure `--device cuda` on a machine with one NVIDIA GPU, and look for faults in it, in about eight minutes.

    python benchmarks/gpu.py [--out report.md]
    python benchmarks/gpu.py --quick          a few photos and small networks, also without a GPU
    python benchmarks/gpu.py --make-photos SOURCE OUT [--photos 2400] [--side 320]

Every part runs by itself: where one fails, its traceback goes into the report and the others go on. After `--limit`
seconds nothing more starts and a command line is stopped; the report names what was left out. The tables come last, as
Markdown. Parts, in this order, each of which `--parts` can select:

blocks    networks cut before their last stage, and all losses: the same numbers on the device as on the CPU
providers images/s of each ONNX Runtime provider that is installed, and the cosine to the CPU's vectors
embed     images/s of dmlcli and of DataLoader + eager torch, cosine to the CPU's vectors, peak GPU memory
resume    a training run that is killed after an epoch, and `--resume`
speed     images/s of `dmlcli train --tune top` and `all`, and of a training loop with DataLoader + eager torch
commands  `dmlcli train` (head, top, all; all precisions), `embed`, `index`, `query`, `eval`; takes longest

Each network is exported once: the seconds of `train` do not hold the export of the network that it starts from.

Networks have random weights unless `--weights FILE` names those of the first backbone: that serves for speed and for
the comparison with the CPU, but scores then say nothing of the network. Photos are random crops of SOURCE (default: the
sample catalog), one folder a product, and take at most 40 MB.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from dmlcli import onnx_runtime
from dmlcli.catalog import open_catalog
from dmlcli.devices import open_forward
from dmlcli.encoder import Encoder
from dmlcli.errors import CannotRun
from dmlcli.learn import losses
from dmlcli.learn.networks import frozen, pretrained
from dmlcli.learn.networks.split import split_backbone
from dmlcli.model import Model
from dmlcli.workspace import Workspace

ROOT = Path(__file__).parents[1]
MOST_BYTES = 40 * 2**20
BATCH, DIM = 64, 256
COMPARED = 256  # photos whose vectors are compared with the CPU's
CUT = ("mobilenet_v2", "resnet18", "convnext_tiny", "swin_t", "vit_b_16", "maxvit_t", "vgg11", "timm:convnext_atto")
CUT_TIMM = ("timm:vit_tiny_patch16_224",)


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
        with _PeakMemory(self.device) as memory:
            started = time.monotonic()
            done = _run([sys.executable, "-m", "dmlcli", *line], seconds=self.left())
            took = time.monotonic() - started
        shown = " ".join(line).replace(f"{self.folder}/", "").replace(f"{ROOT}/", "").replace(str(Path.cwd()), ".")
        self.row(COMMANDS, f"`{shown}`", done.returncode, f"{took:.1f}", f"{memory.mib:.0f}" if memory.mib else "-")
        if done.returncode != 0:
            self.failures.append(f"dmlcli {shown}: exit {done.returncode}\n{done.stderr[-3000:]}")
            print(done.stderr[-3000:], flush=True)
        return done


COMMANDS = "Command lines: command | exit code | seconds | GPU MiB"
EMBED = "Embedding: network | how | images/s | lowest cosine to CPU | peak GPU MiB"
PROVIDERS = "Providers, without reading photos: network | provider | images/s | lowest cosine to CPU"
SPEED = "Training: network | how | images/s"
SCORES = "Models trained on both: tune | precision | device | validation MAP@R | Recall@1 | MAP@R"
BLOCKS = "Blocks: what | largest difference to the CPU"
RESUME = "Killed and resumed: killed after epoch | went on to epoch"


def _run(line: list[str], *, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command line; one that takes longer than `seconds` is killed."""
    try:
        return subprocess.run(
            line, capture_output=True, text=True, env=_environment(), check=False, timeout=max(seconds, 0)
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(line, -signal.SIGKILL, "", "stopped: the time is used up")


def _environment() -> dict[str, str]:
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *([before] if before else [])])}


class _PeakMemory:
    """The most GPU memory in use on the whole card inside the block, above what was in use before."""

    def __init__(self, device: torch.device) -> None:
        self.mib, self._cuda, self._ended = 0.0, device.type == "cuda", threading.Event()

    def __enter__(self) -> "_PeakMemory":
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


def blocks(bench: Bench) -> None:
    """Halves of networks beside the whole, and losses with their gradients beside the CPU's."""
    torch.manual_seed(0)
    for name in (*CUT, *CUT_TIMM) if bench.device.type == "cuda" else CUT[:1]:
        bench.attempt(f"cut {name}", _cut, bench, name)
    apart: dict[str, float] = {}
    for name in losses.names():
        bench.attempt(f"loss {name}", _loss_difference, bench.device, name, apart)
    worst = max(apart, key=lambda name: apart[name])
    bench.row(BLOCKS, f"gradients of {len(apart)} losses, relative; largest: {worst}", f"{apart[worst]:.1e}")
    for name in sorted(apart, key=lambda name: -apart[name])[:6]:
        if apart[name] > 1e-3:
            bench.row(BLOCKS, f"loss {name}", f"{apart[name]:.1e}")


@torch.inference_mode()
def _cut(bench: Bench, name: str) -> None:
    start = pretrained.resolve(name, "none")
    backbone = frozen.build(start).backbone
    images = torch.rand(4, 3, start.image.crop, start.image.crop)
    expected = backbone(images)
    backbone, images = backbone.to(bench.device), images.to(bench.device)
    parts = split_backbone(backbone, name)
    found = parts.top(parts.stem(images)).cpu()
    bench.row(
        BLOCKS, f"{name}, cut in two, relative", f"{float((found - expected).abs().max() / expected.abs().max()):.1e}"
    )


def _loss_difference(device: torch.device, name: str, apart: dict[str, float]) -> None:
    """Put the largest difference of a gradient from the CPU, relative to the largest gradient, into `apart`."""
    labels = torch.arange(64) % 16
    rows = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    found = []
    for place in (torch.device("cpu"), device):
        torch.manual_seed(0)
        loss = losses.build(name, 16, 32).to(place)
        embeddings = rows.clone().to(place).requires_grad_()
        torch.autograd.backward(loss(embeddings, labels.to(place)))
        assert embeddings.grad is not None
        found.append(embeddings.grad.cpu())
    apart[name] = float((found[0] - found[1]).abs().max() / found[0].abs().max().clamp_min(1e-12))


def embed(bench: Bench) -> None:
    """Every backbone: dmlcli in float32 and bfloat16, and what people write."""
    for name in bench.options.backbones:
        bench.attempt(f"embed {name}", _embed_with, bench, name)


def _embed_with(bench: Bench, name: str) -> None:
    photos = open_catalog(bench.photos)
    model = bench.network(name)
    few = type(photos)(photos.root, photos.items[:COMPARED])
    encoder = Encoder(model)
    encoder.embed_catalog(few, [])
    started = time.perf_counter()
    expected = encoder.embed_catalog(few, []).embeddings.vectors
    bench.row(EMBED, name, "dmlcli, CPU", f"{len(few.items) / (time.perf_counter() - started):.0f}", "-", "-")
    for narrow in (False, True) if bench.device.type == "cuda" else (False,):
        how = f"dmlcli, {bench.device.type}, {'bfloat16' if narrow else 'float32'}"
        encoder = Encoder(model, narrow=narrow, device=str(bench.device))
        encoder.embed_catalog(few, [])
        _reset_peak(bench.device)
        started = time.perf_counter()
        vectors = encoder.embed_catalog(photos, []).embeddings.vectors
        speed, peak = len(photos.items) / (time.perf_counter() - started), _peak(bench.device)
        cosine = float((vectors[: len(expected)] * expected).sum(1).min())
        bench.row(EMBED, name, how, f"{speed:.0f}", f"{cosine:.6f}", peak)
        pixels = np.stack([encoder.view(photos.photo(item).read_bytes()) for item in photos.items[:32]])
        started = time.perf_counter()
        for _ in range(20):
            encoder.forward(pixels)
        alone = 20 * len(pixels) / (time.perf_counter() - started)
        bench.row(EMBED, name, f"{how}, without reading photos", f"{alone:.0f}", "-", "-")
        del encoder
    start = pretrained.resolve(name, bench.weights_of(name))
    network = frozen.build(start).to(bench.device).eval()
    loader = _loader(photos, start.image, train=False)
    for narrow in (False, True) if bench.device.type == "cuda" else (False,):
        for _ in range(2):  # the first pass starts the workers
            _reset_peak(bench.device)
            started = time.perf_counter()
            with torch.no_grad(), torch.autocast(bench.device.type, torch.bfloat16, enabled=narrow):
                rows = [network(images.to(bench.device)).float().cpu() for images, _ in loader]
            took = time.perf_counter() - started
        cosine = float((torch.cat(rows)[: len(expected)].numpy() * expected).sum(1).min())
        how = f"DataLoader + eager torch, {bench.device.type}, {'autocast' if narrow else 'float32'}"
        bench.row(EMBED, name, how, f"{len(photos.items) / took:.0f}", f"{cosine:.6f}", _peak(bench.device))


def providers(bench: Bench) -> None:
    """Every backbone with every provider that is installed; a refused one is a row, and no failure."""
    for name in bench.options.backbones:
        model = bench.network(name)
        for provider in onnx_runtime.providers():
            bench.attempt(f"provider {provider} {name}", _embed_by, bench, model, name, provider)
    if not onnx_runtime.providers():
        bench.row(PROVIDERS, "-", "none is installed", "-", "-")


def _embed_by(bench: Bench, model: Model, name: str, provider: str) -> None:
    photos, encoder = open_catalog(bench.photos), Encoder(model)
    pictures = np.stack([encoder.view(photos.photo(item).read_bytes()) for item in photos.items[:32]])
    expected = encoder.forward(pictures)
    try:
        forward = open_forward(model, provider=provider)
        found = forward(pictures)
    except CannotRun as error:
        bench.row(PROVIDERS, name, provider, "-", str(error))
        return
    cosine = float((found * expected).sum(1).min())
    started = time.perf_counter()
    for _ in range(10):
        forward(pictures)
    speed = 10 * len(pictures) / (time.perf_counter() - started)
    bench.row(PROVIDERS, name, provider, f"{speed:.0f}", f"{cosine:.6f}")


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: torch.device) -> str:
    return f"{torch.cuda.max_memory_allocated() / 2**20:.0f}" if device.type == "cuda" else "-"


class _Photos(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __init__(self, files: list[Path], labels: list[int], transform: Callable[[Image.Image], Tensor]) -> None:
        self.files, self.labels, self.transform = files, labels, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.files[row]) as image:
            return self.transform(image.convert("RGB")), self.labels[row]


def _loader(photos: Any, image: Any, *, train: bool) -> Any:
    """torchvision's usual transforms and a DataLoader with as many workers as there are cores, at most 16."""
    usual = torchvision.transforms
    sized = (
        [usual.RandomResizedCrop(image.crop), usual.RandomHorizontalFlip()]
        if train
        else [usual.Resize(image.resize), usual.CenterCrop(image.crop)]
    )
    transform = usual.Compose([*sized, usual.ToTensor(), usual.Normalize(image.mean, image.std)])
    number = {product: label for label, product in enumerate(sorted({item.product for item in photos.items}))}
    files = [Path(photos.root) / item.path for item in photos.items]
    dataset = _Photos(files, [number[item.product] for item in photos.items], transform)
    workers = min(16, len(os.sched_getaffinity(0)))
    return torch.utils.data.DataLoader(
        dataset,
        BATCH,
        shuffle=train,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=torch.cuda.is_available(),
    )


def commands(bench: Bench) -> None:
    """Train on the device and on the CPU, and search with both models."""
    backbone, source = bench.options.backbones[0], bench.options.source
    photo = next((source.parent / "queries").rglob("*.jpg"))
    asked = ("--backbone", backbone, "--weights", bench.weights_of(backbone), "--epochs", bench.options.epochs)
    on = ("--device", bench.device.type)
    first, *others = bench.options.runs
    narrow = ("--precision", "bfloat16", "--average", "flip", "-o", bench.folder / "narrow.npz")
    bench.attempt(f"commands {first}", _trained, bench, first, asked)
    for line in (
        ("query", photo),
        ("embed", bench.photos, *on),
        ("index", bench.photos),
        ("query", photo),
        ("embed", bench.photos, *on, *narrow),
    ):
        bench.attempt(line[0], partial(bench.command, *line, workspace=_named(first)))
    bench.attempt("plan", _anew, bench, "plan", ("train", source, *on, *asked, "--dry-run"))
    for run in others:
        bench.attempt(f"commands {run}", _trained, bench, run, asked)
    bench.attempt("budget", _anew, bench, "budget", ("train", source, *on, *asked, "--budget", "60s"))


def _trained(bench: Bench, run: str, asked: tuple[object, ...]) -> None:
    """Train as `run` says (tune:precision:device), and search for the photos of the folder `queries`."""
    tune, precision, device = run.split(":")
    source = bench.options.source
    how = ("--tune", tune, "--precision", precision, "--device", device, *asked, "--format", "json")
    workspace = bench.workspace(_named(run), bench.options.backbones[0])
    if bench.command("train", source, *how, workspace=workspace.name).returncode != 0:
        return
    asking = ("eval", source, "--queries", source.parent / "queries", "--format", "json")
    found = bench.command(*asking, workspace=workspace.name)
    if found.returncode == 0:
        metrics = json.loads(found.stdout)["metrics"]
        scores = (f"{100 * metrics[name]:.1f}" for name in ("recall@1", "map@r"))
        bench.row(SCORES, tune, precision, device, _validated(workspace), *scores)


def _named(run: str) -> str:
    return run.replace(":", "-")


def _anew(bench: Bench, workspace: str, line: tuple[object, ...]) -> None:
    """Run a command line in a new workspace."""
    bench.workspace(workspace, bench.options.backbones[0])
    bench.command(*line, workspace=workspace)


def _lines(workspace: Path) -> Iterator[dict[str, Any]]:
    """Return the facts in metrics.jsonl of the runs in a workspace."""
    for file in sorted(workspace.glob("runs/*/metrics.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def _validated(workspace: Path) -> str:
    scores = [float(line["map@r"]) for line in _lines(workspace) if line.get("map@r") is not None and line.get("epoch")]
    return f"{100 * max(scores):.1f}" if scores else "-"


def speed(bench: Bench) -> None:
    """Every backbone: epochs of `dmlcli train`, and of a loop with DataLoader + eager torch."""
    for name in bench.options.backbones:
        if name == pretrained.DESCRIPTOR:
            continue
        for tune in ("top", "all"):
            bench.attempt(f"speed {tune} {name}", _train_speed, bench, name, tune)
        bench.attempt(f"plain loop {name}", _plain_loop, bench, name)


def _train_speed(bench: Bench, name: str, tune: str) -> None:
    workspace = bench.workspace(f"speed-{tune}-{name}", name)
    asked = (
        "--backbone",
        name,
        "--weights",
        bench.weights_of(name),
        "--epochs",
        3,
        "--patience",
        0,
        "--batch-size",
        BATCH,
    )
    line = ("train", bench.photos, "--tune", tune, "--device", bench.device, *asked, "--no-index")
    if bench.command(*line, workspace=workspace.name).returncode == 0:
        speeds = [line["images"] / line["seconds"] for line in _lines(workspace) if line.get("seconds")]
        bench.row(SPEED, name, f"dmlcli train --tune {tune}, auto", f"{max(speeds):.0f}")


def _plain_loop(bench: Bench, name: str) -> None:
    photos, start = open_catalog(bench.photos), pretrained.resolve(name, bench.weights_of(name))
    loader = _loader(photos, start.image, train=True)
    for narrow in (False, True) if bench.device.type == "cuda" else (False,):
        network = frozen.build(start).to(bench.device)
        last = nn.Linear(network.head.dim, DIM).to(bench.device)
        loss = losses.build("proxy-anchor", 1 + max(loader.dataset.labels), DIM).to(bench.device)
        optimizer = torch.optim.AdamW([*network.parameters(), *last.parameters(), *loss.parameters()], lr=1e-4)
        for _ in range(2):
            started = time.perf_counter()
            for images, targets in loader:
                optimizer.zero_grad()
                with torch.autocast(bench.device.type, torch.bfloat16, enabled=narrow):
                    embeddings = last(network(images.to(bench.device)))
                torch.autograd.backward(loss(embeddings.float(), targets.to(bench.device)))
                optimizer.step()
            bench.synchronize()
            took = time.perf_counter() - started
        how = f"DataLoader + eager torch, all, {'autocast' if narrow else 'float32'}"
        bench.row(SPEED, name, how, f"{len(photos.items) / took:.0f}")


def resume(bench: Bench) -> None:
    """Kill a run after an epoch, and resume it."""
    backbone, source = bench.options.backbones[0], bench.options.source
    workspace = bench.workspace("resumed", backbone)
    line = ["train", str(source), "--device", str(bench.device), "--tune", "all", "--epochs", "4", "--patience", "0"]
    line += ["--backbone", backbone, "--weights", bench.weights_of(backbone), "-w", str(workspace)]
    log = bench.folder / "resumed.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "dmlcli", *line], env=_environment(), stdout=subprocess.DEVNULL, stderr=errors
        ) as run,
    ):
        while run.poll() is None and bench.left() > 0 and not any(workspace.glob("runs/*/checkpoint.pt")):
            time.sleep(0.1)
        run.kill()
    before = _epochs(workspace)
    if run.returncode != -signal.SIGKILL or not before:
        raise RuntimeError(f"exit code {run.returncode} after {len(before)} epochs:\n{log.read_text()[-3000:]}")
    going_on = ("train", source, "--device", bench.device, "--resume")
    if bench.command(*going_on, workspace=workspace.name).returncode == 0:
        after = _epochs(workspace)
        assert before[0] == after[0], "the first epoch was run again"
        assert [epoch["epoch"] for epoch in after] == [1, 2, 3, 4], after
        bench.row(RESUME, before[-1]["epoch"], after[-1]["epoch"])


def _epochs(workspace: Path) -> list[dict[str, Any]]:
    return [line for line in _lines(workspace) if line.get("epoch")]


PARTS: dict[str, Callable[[Bench], None]] = {
    "blocks": blocks,
    "embed": embed,
    "providers": providers,
    "resume": resume,
    "speed": speed,
    "commands": commands,
}


def report(bench: Bench) -> str:
    """The failures, then the tables, as Markdown."""
    device = torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU"
    lines = [f"{len(bench.failures)} failures", "", *(f"```\n{failure}\n```" for failure in bench.failures), ""]
    if bench.device.type == "cpu":
        lines += ["**No GPU was there: all figures are of the CPU.**", ""]
    lines += [
        f"{device}, torch {torch.__version__}, torchvision {torchvision.__version__}, Python "
        f"{sys.version.split()[0]}, {len(os.sched_getaffinity(0))} CPU cores, {time.strftime('%Y-%m-%d')}, "
        f"{time.monotonic() - bench.started:.0f} s in all; {sum(1 for _ in bench.photos.rglob('*.jpg'))} photos of "
        f"{bench.options.side} x {bench.options.side} pixels"
    ]
    for title, rows in bench.tables.items():
        name, heads = title.split(": ", 1)
        lines += ["", f"**{name}**", "", f"| {heads} |", "|" + "---|" * (heads.count("|") + 1)]
        lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the options, run the parts, print the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make-photos", nargs=2, type=Path, metavar=("SOURCE", "OUT"))
    parser.add_argument("--source", type=Path, default=ROOT / "sample_data" / "catalog", help="folder of products")
    parser.add_argument("--photos", type=int, default=2400)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: cuda, or cpu"
    )
    parser.add_argument(
        "--quick", action="store_true", help="48 photos, the descriptor and MobileNetV2, fewest commands"
    )
    parser.add_argument("--backbones", type=lambda text: text.split(","), default=["mobilenet_v2", "vit_b_16"])
    parser.add_argument("--weights", help="file with the weights of the first backbone; else they are random")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--parts", type=lambda text: text.split(","), help="default: all")
    runs = "head:auto:cuda,top:auto:cuda,all:auto:cuda,all:float32:cuda,head:auto:cpu,top:float32:cpu,all:float32:cpu"
    parser.add_argument("--runs", type=lambda text: text.split(","), default=runs.split(","), help="of `commands`")
    parser.add_argument(
        "--limit", type=float, default=420, help="seconds after which nothing starts, and a command is stopped"
    )
    parser.add_argument("--out", type=Path, help="file for the report, which is printed too")
    options = parser.parse_args()
    if options.quick:
        options.photos, options.side, options.epochs, options.limit = 48, 96, 1, min(options.limit, 120)
        options.backbones, options.parts = ["descriptor", "mobilenet_v2"], options.parts or ["embed", "providers"]
    if options.make_photos:
        source, out = options.make_photos
        print(f"{make_photos(source, out, options.photos, options.side) / 2**20:.1f} MB")
        return
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        make_photos(options.source, bench.photos, options.photos, options.side)
        for name in options.parts or PARTS:
            bench.attempt(name, PARTS[name], bench)
            if options.out:  # what is known so far, should the time run out
                options.out.write_text(report(bench), encoding="utf-8")
        print(report(bench), flush=True)


if __name__ == "__main__":
    main()
