"""Training beside what else people would write, on the same numbers and the same machine.

    python benchmarks/training.py head [--images 12800] [--repeats 5]
    python benchmarks/training.py all --catalog CATALOG.csv --weights FILE [--images 256]
    python benchmarks/training.py two-pass

`head`: an epoch on cached features (2048 numbers an image, linear to 512, Proxy-Anchor with 10,000 products, batches of
256) by dmlcli's loop, in float32 and with `--precision bfloat16`, beside DataLoader + nn.Linear +
pytorch-metric-learning + AdamW. Then Recall@1 of both precisions on features that can be learned from.
`all`: images per second of dmlcli's loop over a whole network, beside a plain torch loop with the same backbone, batch
and augmentation. `two-pass`: the gradient of a batch of 1,024 in two passes beside one, and what each peaks at.

Contestants take turns; figures are medians of the repeats, in CPU seconds of all threads and in seconds of the clock.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that wait must not count as work

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from dmlcli.learn import losses
from dmlcli.learn.data.samplers import batches
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import gradient_cache
from dmlcli.learn.training.loop import Batch, fit
from dmlcli.learn.training.state import TrainerState

FEATURES, DIM, LABELS, BATCH = 2048, 512, 10_000, 256
Contestant = Callable[[], object]


def cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system


def contest(contestants: dict[str, Contestant], repeats: int) -> dict[str, tuple[float, float]]:
    """Median CPU and clock seconds of each, taken in turn; the first round is for warming up."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(repeats + 1):
        for name, run in contestants.items():
            cpu, time_budget = cpu_seconds(), time.perf_counter()
            run()
            if number:
                spent[name].append((cpu_seconds() - cpu, time.perf_counter() - time_budget))
    return {
        name: (median(cpu for cpu, _ in took), median(time_budget for _, time_budget in took))
        for name, took in spent.items()
    }


def show(found: dict[str, tuple[float, float]], peer: str) -> None:
    for name, (cpu, time_budget) in found.items():
        ratio = f"{found[peer][0] / cpu:5.2f} x in CPU, {found[peer][1] / time_budget:5.2f} x by the clock"
        print(f"{name:<28} {cpu:8.2f} CPU s {time_budget:8.2f} s   {ratio}", flush=True)


def ours(features: Tensor, labels: Tensor, count: int, precision: str, epochs: int = 1) -> nn.Linear:
    """The loop that `--tune head` runs."""
    torch.manual_seed(0)
    head = nn.Linear(features.shape[1], DIM)
    recipe = Recipe(epochs=epochs, precision=precision, batch_size=BATCH)
    trainer = TrainerState(recipe, losses.build("proxy-anchor", count, DIM), head=head)
    known = labels.tolist()

    def feed(number: int) -> Iterator[Batch]:
        for rows in batches("random", known, BATCH, number):
            yield features[rows], labels[rows]

    for _ in fit(head, trainer, feed):
        pass
    return head


def theirs(features: Tensor, labels: Tensor, count: int) -> nn.Linear:
    """The same as their documentation would have it."""
    from pytorch_metric_learning.losses import ProxyAnchorLoss
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    head, loss = nn.Linear(features.shape[1], DIM), ProxyAnchorLoss(count, DIM)
    groups = [{"params": head.parameters(), "lr": 1e-3}, {"params": loss.parameters(), "lr": 1e-1}]
    optimizer = torch.optim.AdamW(groups, weight_decay=1e-4)
    for inputs, targets in DataLoader(TensorDataset(features, labels), BATCH, shuffle=True):
        optimizer.zero_grad()
        loss(head(inputs), targets).backward()
        optimizer.step()
    return head


def clusters(images: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return features of products, with the largest noise in dimensions that do not depend on the product."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % count
    centers = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(99)) * 0.2
    loud = torch.linspace(2.0, 0.2, FEATURES)
    return F.normalize(centers[labels] + loud * torch.randn(images, FEATURES, generator=rng), dim=-1), labels


def recall_at_1(head: nn.Module, queries: Tensor, gallery: Tensor, asked: Tensor, known: Tensor) -> float:
    with torch.no_grad():
        nearest = (F.normalize(head(queries)) @ F.normalize(head(gallery)).T).argmax(1)
    return float((known[nearest] == asked).float().mean())


def head(options: argparse.Namespace) -> None:
    rng = torch.Generator().manual_seed(0)
    features = F.normalize(torch.randn(options.images, FEATURES, generator=rng), dim=-1)
    labels = torch.randint(0, LABELS, (options.images,), generator=rng)
    print(f"an epoch of {options.images} images, {LABELS} products; median of {options.repeats}")
    found = contest(
        {
            "torch + PML": lambda: theirs(features, labels, LABELS),
            "dmlcli, float32": lambda: ours(features, labels, LABELS, "float32"),
            "dmlcli, bfloat16": lambda: ours(features, labels, LABELS, "bfloat16"),
        },
        options.repeats,
    )
    show(found, "torch + PML")
    gallery, known = clusters(8_000, 1_000, 1)
    queries, asked = clusters(4_000, 1_000, 2)
    for precision in ("float32", "bfloat16"):
        trained = ours(gallery, known, 1_000, precision, epochs=5)
        print(
            f"Recall@1 after 5 epochs, {precision}: {100 * recall_at_1(trained, queries, gallery, asked, known):.2f} %"
        )
    untrained = recall_at_1(nn.Identity(), queries, gallery, asked, known)
    print(f"Recall@1 of the features: {100 * untrained:.2f} %")


def whole(options: argparse.Namespace) -> None:
    from dmlcli.catalog import Columns, open_catalog
    from dmlcli.learn.data import loader
    from dmlcli.learn.data.augmentation import random_view
    from dmlcli.learn.networks import frozen, pretrained
    from dmlcli.learn.networks.inference import fast_dtype

    start = pretrained.resolve(options.backbone, options.weights)
    photos = open_catalog(options.catalog, Columns(product=options.product_column), for_training=True)
    items = random.Random(0).sample(photos.items, options.images)
    number = {product: label for label, product in enumerate(sorted({item.product for item in items}))}
    files = [photos.photo(item) for item in items]
    labels = torch.tensor([number[item.product] for item in items])
    recipe = Recipe(tune="all", epochs=1, batch_size=options.batch)

    def dmlcli(precision: str) -> None:
        network = frozen.build(start)
        backbone = network.backbone.to(memory_format=torch.channels_last).eval()
        last = nn.Linear(network.head.dim, DIM)
        trainer = TrainerState(recipe, losses.build(recipe.loss, len(number), DIM), head=last, backbone=backbone)
        dtype = fast_dtype(torch.device("cpu"), precision)

        def embed(images: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                features = network.features(images.to(memory_format=torch.channels_last))
            raw: Tensor = last(features)
            return raw

        def feed(epoch: int) -> Iterator[Batch]:
            rows = batches("random", labels.tolist(), options.batch, epoch)
            for chosen, images in loader.random_views(rows, files, start.image, f"0/{epoch}", recipe.augment):
                yield images, labels[chosen]

        for _ in fit(embed, trainer, feed):
            pass

    class Photos(torch.utils.data.Dataset[tuple[Tensor, int]]):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, row: int) -> tuple[Tensor, int]:
            view = random_view(files[row].read_bytes(), start.image, random.Random(row), recipe.augment)
            return torch.from_numpy(np.ascontiguousarray(view)), int(labels[row])

    def plain() -> None:
        from pytorch_metric_learning.losses import ProxyAnchorLoss

        network = frozen.build(start)
        backbone, last = network.backbone.eval(), nn.Linear(network.head.dim, DIM)
        loss = ProxyAnchorLoss(len(number), DIM)
        groups = [{"params": [*backbone.parameters(), *last.parameters()]}, {"params": loss.parameters(), "lr": 1e-1}]
        optimizer = torch.optim.AdamW(groups, lr=1e-4)
        for images, targets in torch.utils.data.DataLoader(Photos(), options.batch, shuffle=True, num_workers=2):
            optimizer.zero_grad()
            loss(last(backbone(images)), targets).backward()
            optimizer.step()

    fast = fast_dtype(torch.device("cpu"))
    print(f"{options.backbone}, {options.images} photos, batches of {options.batch}; auto is {fast or 'float32'} here")
    found = contest(
        {
            "a plain torch loop": plain,
            "dmlcli, float32": lambda: dmlcli("float32"),
            "dmlcli, auto": lambda: dmlcli("auto"),
        },
        options.repeats,
    )
    show(found, "a plain torch loop")
    for name, (_, time_budget) in found.items():
        print(f"{name:<28} {options.images / time_budget:8.1f} images/s")


def gradients(passes: int, size: int, side: int) -> tuple[list[Tensor], float]:
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None).eval()
    loss = losses.build("multi-similarity", 64, 1000)
    images = torch.randn(size, 3, side, side)
    labels = torch.arange(size) % 64
    if passes == 2:
        value, _ = gradient_cache.backward(network, loss, images, labels, 64)
    else:
        value = loss(network(images), labels)
        torch.autograd.backward(value)
    return [p.grad for p in network.parameters() if p.grad is not None], float(value.detach())


def both_passes(options: argparse.Namespace) -> None:
    """Run each in its own process, and read its peak memory."""
    if options.passes:
        import resource

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found, value = gradients(options.passes, options.images, options.side)
        torch.save(found, options.file)
        peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
        print(f"{options.passes} pass{'es' if options.passes > 1 else ''}: loss {value:.6f}, peak {peak:.0f} MB")
        return
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{passes}.pt") for passes in (1, 2)]
        for passes, file in zip((1, 2), files, strict=True):
            size = ["--images", str(options.images), "--side", str(options.side)]
            command = [sys.executable, __file__, "two-pass", *size, "--passes", str(passes), "--file", file]
            subprocess.run(command, check=True)
        one, two = (torch.load(file, weights_only=True) for file in files)
    apart = max(float((a - b).abs().max() / a.abs().max()) for a, b in zip(one, two, strict=True))
    absolute = max(float((a - b).abs().max()) for a, b in zip(one, two, strict=True))
    print(
        f"{options.images} images of {options.side} x {options.side}: largest difference of a gradient entry", end=" "
    )
    print(f"{absolute:.1e}, {apart:.1e} of the largest entry of its tensor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("head")
    one.add_argument("--images", type=int, default=50 * BATCH)
    one.add_argument("--repeats", type=int, default=5)
    one.set_defaults(run=head)
    two = parts.add_parser("all")
    two.add_argument("--catalog", type=Path, required=True)
    two.add_argument("--product-column")
    two.add_argument("--backbone", default="mobilenet_v2")
    two.add_argument("--weights", default="none")
    two.add_argument("--images", type=int, default=256)
    two.add_argument("--batch", type=int, default=32)
    two.add_argument("--repeats", type=int, default=5)
    two.set_defaults(run=whole)
    three = parts.add_parser("two-pass")
    three.add_argument("--images", type=int, default=1024)
    three.add_argument("--side", type=int, default=64)
    three.add_argument("--passes", type=int, default=0, help=argparse.SUPPRESS)
    three.add_argument("--file", default="", help=argparse.SUPPRESS)
    three.set_defaults(run=both_passes)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
