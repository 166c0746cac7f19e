"""What the losses share: similarities, masks, means that cannot divide by zero, and miners.

Everything here is float32 or better, also under autocast: bfloat16 cosines have three digits, far too few for a
temperature of 0.05. `B` is the batch, `Q` the references (the batch itself where none are given).
"""

import torch
from torch import Tensor
from torch.nn import functional as F

EMPTY = -1e30  # stands for log(0): finite, so that a row without entries gives gradient 0 and not NaN


def prepare(embeddings: Tensor, *, normalize: bool) -> Tensor:
    """Embeddings (B, D) in at least float32, of unit length where asked for."""
    if embeddings.dtype in (torch.float16, torch.bfloat16):
        embeddings = embeddings.float()
    return F.normalize(embeddings, dim=-1, eps=1e-12) if normalize else embeddings


def similarity(embeddings: Tensor, references: Tensor) -> Tensor:
    """Dot products (B, Q) of (B, D) and (Q, D), in full precision also under autocast."""
    with torch.autocast(embeddings.device.type, enabled=False):
        return embeddings @ references.to(embeddings.dtype).T


def squared_distance(embeddings: Tensor, references: Tensor) -> Tensor:
    """Squared Euclidean distances (B, Q); 0 where they are within the rounding error of the product, as for copies."""
    norms = embeddings.square().sum(-1, keepdim=True) + references.to(embeddings.dtype).square().sum(-1)  # (B, Q)
    squared = norms - 2 * similarity(embeddings, references)
    return torch.where(squared > 4 * torch.finfo(squared.dtype).eps * norms, squared, 0.0)


def root(squared: Tensor) -> Tensor:
    """Square root with sub-gradient 0 at 0, where coincident points would give NaN."""
    positive = squared > 0
    return torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)


def masks(labels: Tensor, reference_labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which pairs (B, Q) are positive and which negative; without references an image is not its own positive."""
    if reference_labels is not None:
        positive = labels[:, None] == reference_labels[None, :]
        return positive, ~positive
    same = labels[:, None] == labels[None, :]
    negative = ~same
    same.fill_diagonal_(False)  # by index: exact duplicates stay positives
    return same, negative


def logsumexp(logits: Tensor, mask: Tensor) -> Tensor:
    """Log of the sum of exp(logits) over the last dimension where `mask`; about EMPTY for a row without any."""
    return torch.logsumexp(logits.masked_fill(~mask, EMPTY), dim=-1)


def log1p_sum_exp(logits: Tensor, mask: Tensor) -> Tensor:
    """ln(1 + sum of exp(logits)) over the last dimension where `mask`; 0 for a row without any."""
    return F.softplus(logsumexp(logits, mask))


def mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where `mask`; a zero that back-propagates where there is none."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp_min(1)


def multi_similarity_pairs(
    similarities: Tensor, positive: Tensor, negative: Tensor, epsilon: float | None
) -> tuple[Tensor, Tensor]:
    """Keep the pairs (B, Q) that are hard for their anchor: a positive less similar than the closest negative plus
    `epsilon`, a negative more similar than the farthest positive minus `epsilon`; all of them for None.

    Source: Wang et al., Multi-Similarity Loss, CVPR 2019, equations 7 and 8.
    """
    if epsilon is None:
        return positive, negative
    with torch.no_grad():
        closest_negative = similarities.masked_fill(~negative, -torch.inf).amax(-1, keepdim=True)  # (B, 1)
        farthest_positive = similarities.masked_fill(~positive, torch.inf).amin(-1, keepdim=True)  # (B, 1)
        return (
            positive & (similarities - epsilon < closest_negative),
            negative & (similarities + epsilon > farthest_positive),
        )


def first_two(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (n,) of the first and of the second image, in batch order, of each label that has two."""
    order = torch.argsort(labels, stable=True)  # (B,)
    grouped = labels[order]
    starts = torch.ones_like(grouped, dtype=torch.bool)
    starts[1:] = grouped[1:] != grouped[:-1]
    couple = starts[:-1] & ~starts[1:]  # a start whose neighbour is of the same label
    return order[:-1][couple], order[1:][couple]


def compact(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Columns (B, K) of the true entries of a mask (B, Q), K the most in a row, and which of them are real (B, K)."""
    counts = mask.sum(-1, keepdim=True)  # (B, 1)
    width = int(counts.max()) if len(mask) else 0
    columns = mask.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[:, :width]  # (B, K)
    return columns, torch.arange(width, device=mask.device) < counts


def nearest_first(distance: Tensor, mask: Tensor) -> Tensor:
    """Columns (B, Q) that put each row's masked entries first, the nearest of them foremost."""
    return distance.detach().masked_fill(~mask, torch.inf).argsort(dim=-1, stable=True)


def next_farther(distance: Tensor, mask: Tensor, thresholds: Tensor) -> Tensor:
    """For each threshold (B, K) the column of the nearest masked entry strictly farther, else of the farthest one."""
    order = nearest_first(distance, mask)  # (B, Q)
    ordered = distance.detach().masked_fill(~mask, torch.inf).gather(1, order)
    place = torch.searchsorted(ordered, thresholds.detach(), right=True)  # (B, K)
    last = mask.sum(-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last).clamp_min(0))
