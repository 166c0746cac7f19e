"""The watch for collapse: what it says of healthy, collapsed and idle batches."""

import torch
from torch import Tensor, nn

from dmlcli.learn import losses
from dmlcli.learn.training.diagnostics import Diagnostics, measure, share_active

LABELS = torch.arange(4).repeat_interleave(4)


def look(embeddings: Tensor, loss: nn.Module) -> Diagnostics:
    embeddings = embeddings.requires_grad_()
    loss(embeddings, LABELS).backward()
    return measure(embeddings, LABELS, loss, share_active(embeddings))


def scattered(dim: int = 16) -> Tensor:
    return torch.randn(16, dim, generator=torch.Generator().manual_seed(0))


def test_scattered_embeddings_are_no_trouble() -> None:
    diagnostics = look(scattered(), losses.build("multi-similarity", 4, 16))
    assert (
        diagnostics.trouble == ""
        and abs(diagnostics.similarity) < 0.3
        and diagnostics.spread > 0.8
        and diagnostics.active > 0.9
    )


def test_embeddings_that_are_all_alike_are_a_collapse() -> None:
    alike = torch.ones(16, 16) + 1e-3 * scattered()
    diagnostics = look(alike, losses.build("triplet", 4, 16))
    assert diagnostics.spread < 0.01
    assert "alike" in diagnostics.trouble and "--learning-rate" in diagnostics.trouble


def test_a_loss_with_nothing_left_to_do_is_reported() -> None:
    apart = torch.eye(4).repeat_interleave(4, dim=0) + 1e-4 * scattered(4)
    diagnostics = look(apart, losses.build("triplet:margin=0.1,reduction=nonzero", 4, 4))
    assert diagnostics.active == 0 and "margin" in diagnostics.trouble


def test_proxies_without_a_gradient_are_counted() -> None:
    loss = losses.build("proxy-anchor", 4, 16)
    assert look(scattered(), loss).idle_proxies == 0.0
    assert look(scattered(), losses.build("triplet", 4, 16)).idle_proxies is None
