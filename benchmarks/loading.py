"""From JPEG files to ready batches, beside torchvision's ImageFolder + DataLoader with the usual transforms.

    python benchmarks/loading.py [--photos FOLDER] [--pixels 600 1200 3000] [--repeats 5]
    python benchmarks/loading.py --closeness MODEL --table photos.csv --product-column sku --split-column split

The first form times: photos are enlarged to squares with some grain, written as JPEGs of quality 85, and read in turn
by the peer, by us with the default decoding, and by us exactly, with as many workers (theirs processes, ours threads)
as there are cores. Figures are CPU milliseconds for each image, of all processes and threads, workers' start included;
medians of the repeats, so that other programs on the machine disturb as little as possible.

The second form measures the accuracy of the default decoding: the cosine between each photo's embedding and that of
its exact decoding, enlarged to --side pixels, and Recall@1 of split test searched in split train, both ways.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # whatever waits must not count as work

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

sys.path.insert(0, str(Path(__file__).parents[1]))

from dmlcli import prefetch
from dmlcli.catalog import Columns, open_catalog
from dmlcli.encoder import Encoder
from dmlcli.image import ImageSettings, open_image, read_file, view
from dmlcli.model import open_model

BATCH, DISTINCT = 32, 16
ENOUGH = 400_000_000  # pixels in a run: workers must be at work for much longer than they take to start
FAST = ImageSettings()
EXACT = replace(FAST, decode="exact")
Vectors = NDArray[np.float32]


def enlarged(data: bytes, side: int, seed: int) -> bytes:
    """A square JPEG of a photo's center, with the grain that enlarging takes away."""
    photo = open_image(data)
    short = min(photo.size)
    left, top = (photo.width - short) / 2, (photo.height - short) / 2
    large = photo.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, left + short, top + short))
    grain = np.random.default_rng(seed).normal(0, 4, (side, side, 1)).astype(np.float32)
    pixels = (np.asarray(large, dtype=np.float32) + grain).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def write_photos(source: Path, target: Path, side: int) -> None:
    """A folder of classes as ImageFolder wants it; many names for few files, all in the page cache."""
    files = sorted(source.rglob("*.jpg"))
    chosen = files[:: max(1, len(files) // DISTINCT)][:DISTINCT]
    count = max(4 * BATCH, ENOUGH // side**2)
    for number in range(count):
        file = target / f"class-{number % 4}" / f"{number:05}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        if number < len(chosen):
            file.write_bytes(enlarged(chosen[number].read_bytes(), side, number))
        else:
            place = number % len(chosen)
            os.link(target / f"class-{place % 4}" / f"{place:05}.jpg", file)


def theirs(folder: Path) -> Iterator[torch.Tensor]:
    steps = [
        transforms.Resize(FAST.resize),
        transforms.CenterCrop(FAST.crop),
        transforms.ToTensor(),
        transforms.Normalize(FAST.mean, FAST.std),
    ]
    photos = ImageFolder(str(folder), transforms.Compose(steps))
    for images, _ in DataLoader(photos, batch_size=BATCH, num_workers=prefetch.cores()):
        yield images


def ours(settings: ImageSettings) -> Callable[[Path], Iterator[torch.Tensor]]:
    def batches(folder: Path) -> Iterator[torch.Tensor]:
        files = sorted(folder.rglob("*.jpg"))
        with closing(prefetch.in_order(lambda file: view(read_file(file), settings), files, 2 * BATCH)) as coming:
            batch = []
            for number, future in enumerate(coming, start=1):
                batch.append(future.result())
                if len(batch) == BATCH or number == len(files):
                    yield torch.from_numpy(np.stack(batch))
                    batch = []

    return batches


def cost(batches: Callable[[Path], Iterator[torch.Tensor]], folder: Path) -> tuple[float, float]:
    """CPU and wall milliseconds for each image of one pass."""
    before, began = os.times(), time.perf_counter()
    count = sum(len(batch) for batch in batches(folder))
    after, wall = os.times(), time.perf_counter() - began
    return 1e3 * sum(b - a for a, b in zip(before[:4], after[:4], strict=True)) / count, 1e3 * wall / count


def time_all(photos: Path, sides: list[int], repeats: int) -> None:
    torch.set_num_threads(1)
    contestants = {"peer": theirs, "default": ours(FAST), "exact": ours(EXACT)}
    print(f"{'px':>5} {'':8} {'CPU ms':>8} {'peer ÷':>7} {'wall ms':>8} {'images/s':>9} {'peer ÷':>7}")
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            write_photos(photos, Path(folder), side)
            costs: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
            for _ in range(repeats):
                for name, batches in contestants.items():
                    costs[name].append(cost(batches, Path(folder)))
        cpu, wall = ({name: median(pair[k] for pair in costs[name]) for name in costs} for k in (0, 1))
        for name in contestants:
            ratios = cpu["peer"] / cpu[name], wall["peer"] / wall[name]
            print(
                f"{side:5} {name:8} {cpu[name]:8.2f} {ratios[0]:7.2f} {wall[name]:8.2f} {1e3 / wall[name]:9.0f} "
                f"{ratios[1]:7.2f}",
                flush=True,
            )


def tell_closeness(folder: Path, table: Path, columns: Columns, side: int, every: int) -> None:
    encoder = Encoder(open_model(folder))
    fast = replace(encoder.model.record.image, decode="fast")
    exact = replace(fast, decode="exact")
    photos = open_catalog(table, columns)
    items = [item for item in photos.items if item.split in ("train", "test")][::every]

    def both(number: int) -> Vectors:
        data = enlarged(read_file(photos.root / items[number].path), side, number)
        return np.stack([view(data, fast), view(data, exact)])

    with closing(prefetch.in_order(both, range(len(items)), 2 * BATCH)) as coming:
        pairs = np.stack([encoder.forward(future.result()) for future in coming])  # (N, 2, D)
    cosines = (pairs[:, 0] * pairs[:, 1]).sum(axis=1)
    print(f"{len(items)} photos at {side} px; cosine with the exact decoding: ", end="")
    print(f"mean {cosines.mean():.5f}, 1st percentile {np.percentile(cosines, 1):.5f}, least {cosines.min():.5f}")
    queries, gallery = (np.array([item.split == split for item in items]) for split in ("test", "train"))
    products = np.array([item.product for item in items])
    for name, vectors in (("default", pairs[:, 0]), ("exact", pairs[:, 1])):
        nearest = (vectors[queries] @ vectors[gallery].T).argmax(axis=1)
        right = products[gallery][nearest] == products[queries]
        print(f"{name:8} Recall@1 {100 * right.mean():.2f} % of {len(right)} queries in {gallery.sum()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=Path(__file__).parents[1] / "sample_data" / "catalog")
    parser.add_argument("--pixels", type=int, nargs="+", default=[600, 1200, 3000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--closeness", type=Path, metavar="MODEL")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--product-column")
    parser.add_argument("--split-column")
    parser.add_argument("--side", type=int, default=1200)
    parser.add_argument("--every", type=int, default=1, help="take every n-th photo")
    asked = parser.parse_args()
    if asked.closeness is None:
        time_all(asked.photos, asked.pixels, asked.repeats)
    else:
        columns = Columns(product=asked.product_column, split=asked.split_column)
        tell_closeness(asked.closeness, asked.table, columns, asked.side, asked.every)


if __name__ == "__main__":
    main()
