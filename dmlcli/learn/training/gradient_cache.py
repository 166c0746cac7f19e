"""The loss over a batch too large for memory, in two passes: the same gradient, the memory of a chunk.

First all chunks go forward without a graph, and the loss gives the gradient of each embedding; then each chunk goes
forward again with a graph, and takes its own gradients backwards. It costs one more forward pass. Exact where an
image's embedding depends on that image alone: batch norm must be frozen.

Source: Gao et al., Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, 2021; Patel et al.,
Recall@k Surrogate Loss with Large Batches and Similarity Mixup, CVPR 2022, section 4.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from dmlcli.learn.training import distributed


def backward(
    embed: Callable[[Tensor], Tensor],
    loss: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    chunk: int,
    *,
    last: Callable[[Tensor], Tensor] | None = None,
    rng: AbstractContextManager[None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Add the gradient of `loss(embed(inputs), labels)` to the parameters of both, `chunk` images at a time.

    Args:
        embed: from inputs to embeddings.
        loss: of all embeddings.
        inputs: (B, ...), on whatever device `embed` takes them from; of several processes each has its part.
        labels: (B,).
        chunk: images in memory at a time.
        last: used for `embed` in the second pass of the last chunk, where several processes add up their gradients.
        rng: inside it random numbers are those of `embed`, where they are not the loss's too.

    Returns:
        The value of the loss, and the embeddings (B, D) with their gradient.
    """
    chunks = torch.split(inputs, chunk)
    states = []
    with torch.no_grad(), rng or nullcontext():
        parts = []
        for part in chunks:
            states.append(_random_state(labels.device))  # dropout has to drop the same in both passes
            parts.append(embed(part))
    embeddings = distributed.all_gather(torch.cat(parts), len(labels))  # (B, D)
    embeddings.requires_grad_()
    value = loss(embeddings, labels)
    if not torch.isfinite(value):
        return value, embeddings
    torch.autograd.backward(value)
    assert embeddings.grad is not None, "a loss depends on its embeddings"
    after = _random_state(labels.device)
    own = embeddings.grad[distributed.shard(len(labels))] * distributed.size()  # of which the mean will be taken
    passes = [embed] * (len(chunks) - 1) + [last or embed]
    for again, part, gradient, state in zip(passes, chunks, torch.split(own, chunk), states, strict=True):
        _set_random_state(state, labels.device)
        torch.autograd.backward(again(part), gradient)
    _set_random_state(after, labels.device)
    return value, embeddings


def _random_state(device: torch.device) -> tuple[Tensor, ...]:
    accelerator = (torch.cuda.get_rng_state(device),) if device.type == "cuda" else ()
    return torch.get_rng_state(), *accelerator


def _set_random_state(state: tuple[Tensor, ...], device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state[1], device)
