"""The parts of benchmarks/gpu.py that compare numbers and speeds in one process: blocks, embeddings, providers."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode

from benchmarks.gpu_bench import BATCH, BLOCKS, EMBED, PROVIDERS, Bench
from dmlcli import onnx_runtime
from dmlcli.catalog import open_catalog
from dmlcli.devices import open_forward
from dmlcli.encoder import Encoder
from dmlcli.errors import CannotRun
from dmlcli.learn import losses
from dmlcli.learn.networks import frozen, pretrained
from dmlcli.learn.networks.split import split_backbone
from dmlcli.model import Model

COMPARED = 256  # photos whose vectors are compared with the CPU's
CUT = ("mobilenet_v2", "resnet18", "convnext_tiny", "swin_t", "vit_b_16", "maxvit_t", "vgg11", "timm:convnext_atto")
CUT_TIMM = ("timm:vit_tiny_patch16_224",)


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
    batches = loader(photos, start.image, train=False)
    for narrow in (False, True) if bench.device.type == "cuda" else (False,):
        for _ in range(2):  # the first pass starts the workers
            _reset_peak(bench.device)
            started = time.perf_counter()
            with torch.no_grad(), torch.autocast(bench.device.type, torch.bfloat16, enabled=narrow):
                rows = [network(images.to(bench.device)).float().cpu() for images, _ in batches]
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


def loader(photos: Any, image: Any, *, train: bool) -> Any:
    """torchvision's usual transforms and a DataLoader with as many workers as there are cores, at most 16."""
    usual = torchvision.transforms
    sized = (
        [usual.RandomResizedCrop(image.crop), usual.RandomHorizontalFlip()]
        if train
        else [usual.Resize(image.resize, InterpolationMode(image.interpolation)), usual.CenterCrop(image.crop)]
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
