"""Watches the embeddings while a loss is at work: a collapse looks like success to the loss alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.errors import TrainingError

_ALIKE = 0.98  # cosine between images of different products from which on they cannot be distinguished


@dataclass(frozen=True)
class Diagnostics:
    """How an epoch looked to the loss: `active` over all of it, the rest on its last batch."""

    similarity: float  # mean cosine of images of different products; near 1: all alike
    spread: float  # 0: one point, 1: evenly over the sphere
    active: float  # share of images that got a gradient
    idle_proxies: float | None  # share of the loss's own rows (proxies, weights) without one; None where it has none

    @property
    def trouble(self) -> str:
        """Why training further is pointless; empty where it is not."""
        if self.similarity > _ALIKE:
            return (
                f"all embeddings have become alike (mean cosine {self.similarity:.3f} between different products), and "
                "the loss can no longer distinguish them. Try a lower --learning-rate, a larger --batch-size, or "
                "another --loss"
            )
        if self.active == 0:
            return "no image gets a gradient any more: every pair meets its margin. Try a larger margin"
        return ""


def check_finite(where: str, **parts: Tensor | Iterable[Tensor]) -> None:
    """Raise TrainingError unless every number in `parts` is finite.

    Args:
        where: when it is checked, e.g. `in epoch 3, step 17`.
        parts: what is checked, by name, e.g. `loss=value`; a name's underscores are printed as spaces.

    Raises:
        TrainingError: naming `where` and all parts that hold NaN or infinity.
    """
    bad = [name.replace("_", " ") for name, part in parts.items() if not _is_finite(part)]
    if bad:
        raise TrainingError(
            f"training diverged {where}: NaN or infinity in the {' and the '.join(bad)}",
            hint="a lower --learning-rate, --clip norm:1, or another --loss",
        )


def _is_finite(part: Tensor | Iterable[Tensor]) -> bool:
    tensors = [part] if isinstance(part, Tensor) else list(part)
    tensors = [tensor.detach() for tensor in tensors if tensor.numel()]
    if not tensors:
        return True
    largest = torch.stack([size.float() for size in torch._foreach_norm(tensors, torch.inf)])
    return bool(largest.isfinite().all())


def lengths(embeddings: Tensor) -> Tensor:
    """Lengths (B,) of embeddings (B, D); infinite where they are too long for float32 to measure."""
    return embeddings.detach().float().square().sum(-1).sqrt()


def share_active(embeddings: Tensor) -> float:
    """Share of a batch (B, D) that got a gradient in the backward pass; `embeddings` must have kept it."""
    gradient = embeddings.grad
    return 0.0 if gradient is None else float((gradient.abs().amax(-1) > 0).float().mean())


def measure(embeddings: Tensor, labels: Tensor, loss: nn.Module, active: float) -> Diagnostics:
    """Measure a batch after its backward pass.

    Args:
        embeddings: (B, D) with their gradient.
        labels: (B,).
        loss: with the proxies, if it has any.
        active: share of the images that had a gradient in this epoch, in [0, 1].
    """
    with torch.no_grad():
        unit = F.normalize(embeddings.float(), dim=-1)
        apart = labels[:, None] != labels[None, :]
        similarity = float((unit @ unit.T)[apart].mean()) if apart.any() else 0.0
        spread = float(1 - unit.mean(0).norm().square())
        rows = [p.grad.flatten(0, -2) for p in loss.parameters() if p.grad is not None and p.ndim > 1]
        idle = float(torch.cat([(row.abs().amax(-1) == 0).float() for row in rows]).mean()) if rows else None
    return Diagnostics(similarity, spread, active, idle)
