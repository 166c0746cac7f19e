"""The gradient in two passes is that of one, also under dropout, and no more than a chunk is held at a time."""

import pytest
import torch
from torch import Tensor, nn

from dmlcli.learn import losses
from dmlcli.learn.training import gradient_cache


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(8 * 36, 16))


def batch(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(size, 3, 8, 8, generator=generator), torch.arange(size) % 6


@pytest.mark.parametrize("spec", ["multi-similarity", "proxy-anchor", "recall-at-k"])
@pytest.mark.parametrize("chunk", [7, 16])
def test_the_gradient_is_that_of_one_pass(spec: str, chunk: int) -> None:
    images, labels = batch(48)
    found = []
    for passes in (1, 2):
        module, loss = network().eval(), losses.build(spec, 6, 16)
        torch.manual_seed(2)
        if passes == 1:
            value = loss(module(images), labels)
            torch.autograd.backward(value)
        else:
            value, embeddings = gradient_cache.backward(module, loss, images, labels, chunk)
            assert embeddings.shape == (48, 16) and embeddings.grad is not None and embeddings.grad.any()
        found.append([value.detach(), *(p.grad for p in [*module.parameters(), *loss.parameters()])])
    for one, two in zip(*found, strict=True):
        assert two is not None and torch.allclose(one, two, atol=1e-5)


def test_dropout_drops_the_same_in_both_passes() -> None:
    """With the whole batch as one chunk the two passes draw the same numbers as one pass does."""
    images, labels = batch(24)
    gradients = []
    for passes in (1, 2):
        module, loss = network().train(), losses.build("multi-similarity", 6, 16)
        torch.manual_seed(3)
        if passes == 1:
            torch.autograd.backward(loss(module(images), labels))
        else:
            gradient_cache.backward(module, loss, images, labels, 24)
        gradients.append([p.grad for p in module.parameters()])
        after = torch.rand(1)
        torch.manual_seed(3)
        module(images)
        assert torch.equal(after, torch.rand(1))  # and leave the random numbers where one pass would
    assert all(torch.allclose(one, two, atol=1e-6) for one, two in zip(*gradients, strict=True) if one is not None)


def test_no_more_than_a_chunk_is_held_for_the_backward_pass() -> None:
    images, labels = batch(64)
    module, loss = network().eval(), losses.build("multi-similarity", 6, 16)
    held: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.ndim == 4 and tensor.shape[1:] != (3, 3, 3):  # images and their maps, not weights
            held.append(len(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        gradient_cache.backward(module, loss, images, labels, 8)
    assert held and set(held) == {8}


def test_a_loss_that_is_no_number_is_reported_before_the_second_pass() -> None:
    images, labels = batch(12)
    module, loss = network().eval(), losses.build("proxy-anchor", 6, 16)
    value, _ = gradient_cache.backward(module, loss, images * float("nan"), labels, 4)
    assert not torch.isfinite(value) and all(p.grad is None for p in module.parameters())
