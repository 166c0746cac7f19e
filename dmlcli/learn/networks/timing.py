"""How long backbones take for an image, on this machine."""

import time
from collections.abc import Sequence

import torch

from dmlcli import progress
from dmlcli.learn import backbone_table
from dmlcli.learn.backbone_table import Backbone
from dmlcli.learn.networks import frozen, pretrained

HOW = (
    "CPU time of one image on one core: the network alone, pooled as published, in torch with float32 and random "
    "weights; reading the photo is not included"
)
_BATCH = 4  # images
_ENOUGH, _MOST = 1.0, 5  # CPU seconds after which no further round starts, and rounds; the quickest round counts


def milliseconds(rows: Sequence[Backbone]) -> dict[str, float]:
    """Return the CPU time in milliseconds of one image, of each backbone that can be built here.

    Args:
        rows: of the table of backbones; those of timm are left out where timm is not installed.
    """
    built = [row for row in rows if not row.needs_timm or backbone_table.has_timm()]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other use time, too
    try:
        return {row.name: _one(row.name) for row in progress.track(built, "backbones")}
    finally:
        torch.set_num_threads(threads)


def _one(name: str) -> float:
    network = frozen.build(pretrained.resolve(name, "none")).to(memory_format=torch.channels_last)
    side = network.image.crop
    images = torch.rand(_BATCH, 3, side, side).to(memory_format=torch.channels_last)
    seconds: list[float] = []
    with torch.inference_mode():
        network(images)  # the first time takes longer
        while len(seconds) < _MOST and sum(seconds) < _ENOUGH:
            started = time.process_time()
            network(images)
            seconds.append(time.process_time() - started)
    return 1000 * min(seconds) / _BATCH
