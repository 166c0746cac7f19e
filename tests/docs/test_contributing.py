"""The loss that CONTRIBUTING.md shows is complete: it runs, and is what its own definition says."""

import re
from typing import Any

import torch

from tests.places import ROOT


def test_the_loss_in_the_guide_works() -> None:
    block = re.search(r"```py\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    module: dict[str, Any] = {"__name__": "my_loss"}
    exec(block[1], module)
    rng = torch.Generator().manual_seed(0)
    embeddings, labels = torch.randn(12, 8, generator=rng), torch.arange(12) % 4
    loss = module["MyLoss"](4, 8)
    assert torch.allclose(loss(embeddings, labels), module["definition"](loss, embeddings, labels))
    assert loss(embeddings, labels) > 0
