"""Queries and embeddings beside the way everybody starts: torch, torchvision and FAISS, in a script of one's own.

    python benchmarks/query.py [--repeats 5] [--photos 96] [--parts cold help …] [--workspace W]

Whole processes, ours and theirs in turn, each timed from outside: seconds of CPU (user and system, all threads),
seconds on the clock, and the largest memory. Medians of the repeats; on a busy machine only the ratios of CPU repeat.
Photos are rendered, 600 x 600 JPEG, galleries are as large as 10,000 x 512; weights are random, which changes no
time. Streaming and embedding are given per photo: a long run less a short one, so that starting up counts nothing.
The peer of the default backbone is timm's network (`pip install timm`). `network` is the networks alone, in one
process: what is left of embedding where decoding costs nothing. `close` compares the embeddings of a trained model
(--workspace, with its catalog still in place) with those of the same weights in float32, photos fully decoded.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
GALLERY, SIDE, SHORT = 10_000 * 512, 600, 8  # numbers in the gallery, pixels, photos of a short run

NETWORK = """
if name == "efficientnet_lite0":
    import timm
    network = timm.create_model("tf_efficientnet_lite0")
else:
    network = getattr(torchvision.models, name)()
"""
EAGER = """
import sys, torch, torchvision, faiss
from PIL import Image
from torchvision import transforms as T
name, weights, index, *photos = sys.argv[1:]
NETWORK
network.load_state_dict(torch.load(weights, weights_only=True))
network.fc = network.classifier = torch.nn.Identity()
network.eval()
look = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([.485, .456, .406], [.229, .224, .225])])
index = faiss.read_index(index)
with torch.inference_mode():
    for photo in photos:
        vector = torch.nn.functional.normalize(network(look(Image.open(photo).convert("RGB"))[None])).numpy()
        scores, rows = index.search(vector, 10)
        print(photo, rows[0].tolist(), scores[0].tolist(), flush=True)
"""
LOADER = """
import sys, torch, torchvision
from torchvision import transforms as T
name, weights, folder = sys.argv[1:]
NETWORK
network.load_state_dict(torch.load(weights, weights_only=True))
network.fc = network.classifier = torch.nn.Identity()
network.eval()
look = T.Compose([T.Resize(256), T.CenterCrop(224), T.ToTensor(), T.Normalize([.485, .456, .406], [.229, .224, .225])])
photos = torchvision.datasets.ImageFolder(folder, look)
with torch.inference_mode():
    done = [network(x) for x, _ in torch.utils.data.DataLoader(photos, batch_size=32, num_workers=2)]
torch.save(torch.nn.functional.normalize(torch.cat(done)), folder + ".pt")
"""


class Cost(NamedTuple):
    """What one process took."""

    cpu: float  # seconds
    wall: float  # seconds
    memory: float  # MB


def cost(command: list[str], folder: Path) -> Cost:
    """Run a process to its end; it and its children are counted."""
    before = time.perf_counter()
    with (folder / "out.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{' '.join(command[:6])} … failed:\n{(folder / 'out.log').read_text()[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - before, used.ru_maxrss / 1024)


def contest(repeats: int, *runs: Callable[[], Cost]) -> list[Cost]:
    """The median cost of each, taken in turn, after one round to warm the page cache."""
    rounds = [[run() for run in runs] for _ in range(repeats + 1)][1:]
    return [Cost(*(median(values) for values in zip(*costs, strict=True))) for costs in zip(*rounds, strict=True)]


def dmlcli(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dmlcli", *map(str, arguments)]


def script(text: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", text.replace("NETWORK", NETWORK), *map(str, arguments)]


def peer(backbone: str) -> Any:
    """The network as the scripts build it, with random weights."""
    import torchvision

    names = {"name": backbone, "torchvision": torchvision}
    exec(NETWORK, names)
    return names["network"]


def print_ratio(what: str, ours: Cost, theirs: Cost) -> None:
    print(
        f"{what:<34} cpu {1000 * ours.cpu:7.1f} / {1000 * theirs.cpu:7.1f} ms  x {theirs.cpu / ours.cpu:5.2f}   "
        f"wall {1000 * ours.wall:7.1f} / {1000 * theirs.wall:7.1f}  x {theirs.wall / ours.wall:5.2f}   "
        f"memory {ours.memory:4.0f} / {theirs.memory:4.0f} MB",
        flush=True,
    )


def photographs(folder: Path, count: int) -> list[Path]:
    """Rendered photos with edges and grain, about 80 kB each; a sub-folder each, as a catalog has them."""
    from PIL import Image

    files = []
    for number in range(count):
        rng = np.random.default_rng(number)
        patches = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
        large = np.asarray(patches.resize((SIDE, SIDE), Image.Resampling.BICUBIC), dtype=np.float64)
        grain = rng.normal(0, 8, large.shape)
        file = folder / f"product-{number // 4:03}" / f"{number:04}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((large + grain).clip(0, 255).astype(np.uint8)).save(file, quality=88)
        files.append(file)
    return files


class Setting(NamedTuple):
    """One backbone with random weights, ours and theirs."""

    backbone: str
    workspace: Path
    weights: Path
    gallery: Path


def setting_of(backbone: str, place: Path) -> Setting:
    return Setting(backbone, place / backbone / ".dmlcli", place / f"{backbone}.pth", place / f"{backbone}.faiss")


def prepare(backbone: str, place: Path) -> None:
    """A model, an index of random vectors in its own length, and the same for the script."""
    import faiss
    import torch

    from dmlcli import indexes
    from dmlcli.catalog import Item, open_catalog
    from dmlcli.embeddings import Embeddings, FileState
    from dmlcli.learn.networks import frozen, pretrained

    _, workspace, file, gallery = setting_of(backbone, place)
    torch.manual_seed(0)
    torch.save(peer(backbone).state_dict(), file)
    start = pretrained.resolve(backbone, str(file))
    workspace.mkdir(parents=True)
    model = frozen.save(workspace / "model", frozen.build(start), start, open_catalog(place / "photos"))
    rows = GALLERY // model.record.dim
    vectors = np.random.default_rng(0).normal(size=(rows, model.record.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    items = [Item(f"{row}.jpg", f"product {row // 5}") for row in range(rows)]
    states = [FileState(1, 1, str(row)) for row in range(rows)]
    made = Embeddings(place, items, states, vectors, model.record.fingerprint)
    indexes.build(workspace / "index", made, model.folder)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    faiss.write_index(flat, str(gallery))


def cold(setting: Setting, files: list[Path], repeats: int) -> None:
    """Query one photo in a new process."""
    place = setting.workspace.parent
    ours, theirs = contest(
        repeats,
        lambda: cost(dmlcli("query", files[0]), place),
        lambda: cost(script(EAGER, setting.backbone, setting.weights, setting.gallery, files[0]), place),
    )
    print_ratio(f"cold query, {setting.backbone}", ours, theirs)


def stream(setting: Setting, files: list[Path], repeats: int) -> None:
    """Many photos in one process, per photo."""
    place = setting.workspace.parent

    def ours(some: list[Path]) -> Cost:
        (place / "list").write_text("\n".join(map(str, some)))
        return cost(dmlcli("query", "--files-from", "list"), place)

    def theirs(some: list[Path]) -> Cost:
        return cost(script(EAGER, setting.backbone, setting.weights, setting.gallery, *some), place)

    per_photo(f"streaming, {setting.backbone}", files, repeats, ours, theirs)


def embed(setting: Setting, files: list[Path], repeats: int, precision: str) -> None:
    """A catalog embedded, per photo."""
    place = setting.workspace.parent

    def folder(some: list[Path]) -> Path:
        chosen = place / f"photos-{len(some)}"
        for file in some if not chosen.exists() else []:
            (chosen / file.parent.name).mkdir(parents=True, exist_ok=True)
            (chosen / file.parent.name / file.name).hardlink_to(file)
        return chosen

    def ours(some: list[Path]) -> Cost:
        target = place / f"out-{time.monotonic_ns()}.npz"  # never there before, so nothing is known
        return cost(
            dmlcli(
                *("embed", folder(some), "--model", setting.workspace / "model", "-o", target, "-w", place),
                *("--precision", precision),
            ),
            place,
        )

    def theirs(some: list[Path]) -> Cost:
        return cost(script(LOADER, setting.backbone, setting.weights, folder(some)), place)

    per_photo(f"embedding, {setting.backbone}, {precision}", files, repeats, ours, theirs)


def network(setting: Setting, files: list[Path], repeats: int) -> None:
    """The network alone: eager torch, the inference graph, and bfloat16, in turn, CPU time of each image."""
    import torch

    from dmlcli.encoder import Encoder
    from dmlcli.model import open_model

    torch.set_num_threads(1)
    plain = peer(setting.backbone)
    plain.load_state_dict(torch.load(setting.weights, weights_only=True))
    plain.fc = plain.classifier = torch.nn.Identity()
    plain.eval()
    model = open_model(setting.workspace / "model")
    quick, narrow = Encoder(model), Encoder(model, narrow=True)
    batch = np.stack([quick.view(file.read_bytes()) for file in files[:32]])

    def eager(batch: Any) -> Any:
        with torch.inference_mode():
            return torch.nn.functional.normalize(plain(torch.from_numpy(batch))).numpy()

    ways: dict[str, Callable[[Any], Any]] = {"eager": eager, "graph": quick.forward, "bfloat16": narrow.forward}
    took: dict[str, list[float]] = {name: [] for name in ways}
    found = {name: forward(batch) for name, forward in ways.items()}
    for _ in range(repeats):
        for name, forward in ways.items():
            before = time.process_time()
            forward(batch)
            took[name].append(1000 * (time.process_time() - before) / len(batch))
    for name, times in took.items():
        cosine = (found[name] * found["eager"]).sum(axis=1).min()
        shown = f"cpu {median(times):7.1f} ms an image  x {median(took['eager']) / median(times):5.2f}"
        print(f"network alone, {setting.backbone}, {name:<10} {shown}   cosine at least {cosine:.4f}", flush=True)


def per_photo(
    what: str,
    files: list[Path],
    repeats: int,
    ours: Callable[[list[Path]], Cost],
    theirs: Callable[[list[Path]], Cost],
) -> None:
    few, many = files[:SHORT], files
    a, b, c, d = contest(repeats, lambda: ours(few), lambda: theirs(few), lambda: ours(many), lambda: theirs(many))
    count = len(many) - len(few)
    each = [Cost((y.cpu - x.cpu) / count, (y.wall - x.wall) / count, y.memory) for x, y in ((a, c), (b, d))]
    print_ratio(what, each[0], each[1])


def close(workspace: Path) -> None:
    """How far the quick embeddings are from float32 and full decoding, image by image and in Recall@1."""
    import torch
    from PIL import Image
    from torchvision import transforms

    from dmlcli.embeddings import open_embeddings
    from dmlcli.learn.networks.network import open_network
    from dmlcli.metrics import mean, score
    from dmlcli.model import open_model
    from dmlcli.ranking import rankings

    model, quick = open_model(workspace / "model"), open_embeddings(workspace / "embeddings")
    chosen = np.sort(np.random.default_rng(0).permutation(len(quick.items))[:1500])
    quick = quick.take(chosen.tolist())
    network, image = open_network(model), model.record.image
    mode = transforms.InterpolationMode(image.interpolation)
    look: Any = transforms.Compose(
        [
            transforms.Resize(image.resize, mode),
            transforms.CenterCrop(image.crop),
            transforms.ToTensor(),
            transforms.Normalize(image.mean, image.std),
        ]
    )
    with torch.inference_mode():
        opened = (Image.open(quick.root / item.path).convert("RGB") for item in quick.items)
        exact = np.concatenate([network(look(photo)[None]).numpy() for photo in opened])
    cosines = (exact * quick.vectors).sum(axis=1)
    middle = exact.mean(axis=0)
    a, b = exact - middle, quick.vectors - middle
    centerd = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    own = np.arange(len(exact))
    recall = [
        mean(score(rankings(np.asarray(v), np.asarray(v), quick.products, quick.products, own_rows=own))["recall@1"])
        for v in (quick.vectors, exact)
    ]
    print(f"closeness over {len(exact)} images: cosine at least {cosines.min():.5f}, mean {cosines.mean():.5f};")
    print(f"  about their mean at least {centerd.min():.4f}, mean {centerd.mean():.5f};")
    print(f"  Recall@1 {recall[0]:.4f}, in float32 {recall[1]:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--backbones", nargs="*", default=["efficientnet_lite0", "resnet50", "mobilenet_v3_small"])
    parser.add_argument("--parts", nargs="*", default=["cold", "help", "stream", "embed", "network", "close"])
    parser.add_argument("--precisions", nargs="*", default=["float32", "bfloat16"], help="of `embed`")
    parser.add_argument("--workspace", type=Path, help="of a trained model, for `close`")
    for hidden in ("--prepare", "--network"):  # in a process of its own
        parser.add_argument(hidden, nargs=2, metavar=("BACKBONE", "PLACE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.prepare:
        return prepare(asked.prepare[0], Path(asked.prepare[1]))
    if asked.network:
        place = Path(asked.network[1])
        return network(setting_of(asked.network[0], place), sorted(place.glob("photos/*/*.jpg")), asked.repeats)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    print("ours / theirs, x theirs over ours")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if "help" in asked.parts:
            runs = (dmlcli("--help"), dmlcli("query", "--help"), script("import typer"))
            *helps, theirs = contest(2 * asked.repeats + 1, *(lambda run=run: cost(run, place) for run in runs))
            for name, ours in zip(("dmlcli --help", "dmlcli query --help"), helps, strict=True):
                print_ratio(f"{name}, import typer", ours, theirs)
        if {"cold", "stream", "embed", "network"} & set(asked.parts):
            files = photographs(place / "photos", asked.photos)
            for backbone in asked.backbones:
                # in a process of its own: what a process starts is measured with the memory it had when it started it
                subprocess.run([sys.executable, __file__, "--prepare", backbone, str(place)], check=True)
                setting = setting_of(backbone, place)
                for part in (cold, stream):
                    if part.__name__ in asked.parts:
                        part(setting, files, asked.repeats)
                for precision in asked.precisions if "embed" in asked.parts else ():
                    embed(setting, files, asked.repeats, precision)
                if "network" in asked.parts:
                    shown = [
                        sys.executable,
                        __file__,
                        "--network",
                        backbone,
                        str(place),
                        "--repeats",
                        str(asked.repeats),
                    ]
                    subprocess.run(shown, check=True)
    if "close" in asked.parts and asked.workspace is not None:
        close(asked.workspace)


if __name__ == "__main__":
    main()
