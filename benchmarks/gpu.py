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
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu_bench import BATCH, RESUME, ROOT, SCORES, SPEED, Bench, environment, make_photos
from benchmarks.gpu_numbers import blocks, embed, loader, providers
from dmlcli.catalog import open_catalog
from dmlcli.learn import losses
from dmlcli.learn.networks import frozen, pretrained

DIM = 256


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
    batches = loader(photos, start.image, train=True)
    for narrow in (False, True) if bench.device.type == "cuda" else (False,):
        network = frozen.build(start).to(bench.device)
        last = nn.Linear(network.head.dim, DIM).to(bench.device)
        loss = losses.build("proxy-anchor", 1 + max(batches.dataset.labels), DIM).to(bench.device)
        optimizer = torch.optim.AdamW([*network.parameters(), *last.parameters(), *loss.parameters()], lr=1e-4)
        for _ in range(2):
            started = time.perf_counter()
            for images, targets in batches:
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
            [sys.executable, "-m", "dmlcli", *line], env=environment(), stdout=subprocess.DEVNULL, stderr=errors
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
    parser.add_argument("--backbones", type=lambda text: text.split(","), default=["efficientnet_lite0", "vit_b_16"])
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
