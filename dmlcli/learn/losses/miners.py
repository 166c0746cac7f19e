"""Which pairs and triplets of a batch a loss looks at.

`B` is the batch, `Q` the references (the batch itself where none are given); ties go to the lowest index.
"""

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise


def multi_similarity_pairs(
    similarities: Tensor, positive: Tensor, negative: Tensor, epsilon: float | None
) -> tuple[Tensor, Tensor]:
    """Keep the pairs (B, Q) that are hard for their anchor: a positive less similar than the closest negative plus
    `epsilon`, a negative more similar than the farthest positive minus `epsilon`; all of them for None.

    Args:
        similarities: (B, Q).
        positive: (B, Q) mask.
        negative: (B, Q) mask.
        epsilon: margin; None: keep all pairs.

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


def batch_hard(distance: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the columns (B,) of each anchor's farthest positive and nearest negative, and whether it has both (B,).

    Args:
        distance: (B, Q).
        positive: (B, Q) mask.
        negative: (B, Q) mask.

    Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, equation 5.
    """
    farthest = distance.masked_fill(~positive, -torch.inf).argmax(-1)
    nearest = distance.masked_fill(~negative, torch.inf).argmin(-1)
    return farthest, nearest, positive.any(-1) & negative.any(-1)


def distance_weights(
    distance: Tensor, negative: Tensor, dim: int, cutoff: float = 0.5, nonzero_loss_cutoff: float = 1.4
) -> Tensor:
    """Return the probabilities (B, Q) of negatives: the inverse density of their distance on the unit sphere.

    Distances below `cutoff` count as that; those beyond `nonzero_loss_cutoff` get no chance, unless an anchor has
    nothing else: then all its negatives are alike. A row without negatives is zero.

    Args:
        distance: (B, Q).
        negative: (B, Q) mask.
        dim: of the embeddings.
        cutoff: lower bound of distances.
        nonzero_loss_cutoff: distance beyond which negatives are not drawn.

    Source: Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017, equations 1 and 2.
    """
    clamped = distance.clamp_min(cutoff)
    logits = (2.0 - dim) * clamped.log() - (dim - 3) / 2 * (1 - clamped.square() / 4).clamp_min(1e-8).log()
    near = negative & (distance < nonzero_loss_cutoff)
    far = negative & ~near.any(-1, keepdim=True)
    logits = torch.where(far, 0.0, logits).masked_fill(~(near | far), pairwise.EMPTY)  # (B, Q)
    return torch.where(near | far, logits.softmax(-1), 0.0)  # by row: one global maximum would leave most rows empty


def draw_negatives(positive: Tensor, weights: Tensor) -> Tensor:
    """Triplets (T, 3): each positive pair of the mask (B, Q) with a negative drawn by the weights (B, Q) of its row."""
    columns, real = pairwise.compact(positive & (weights > 0).any(-1, keepdim=True))  # (B, K)
    drawable = torch.where(real[:, :1], weights, 1.0)  # rows that draw nothing must not be empty either
    drawn = torch.multinomial(drawable, columns.shape[1], replacement=True)  # (B, K)
    anchors = torch.arange(len(weights), device=weights.device)[:, None].expand_as(columns)
    return torch.stack([anchors, columns, drawn], dim=-1)[real]


def first_two(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (n,) of the first and of the second image, in batch order, of each label that has two."""
    order = torch.argsort(labels, stable=True)  # (B,)
    grouped = labels[order]
    starts = torch.ones_like(grouped, dtype=torch.bool)
    starts[1:] = grouped[1:] != grouped[:-1]
    couple = starts[:-1] & ~starts[1:]  # a start whose neighbor is of the same label
    return order[:-1][couple], order[1:][couple]


def nearest_first(distance: Tensor, mask: Tensor) -> Tensor:
    """Columns (B, Q) that put each row's masked entries first, the nearest of them foremost."""
    return distance.detach().masked_fill(~mask, torch.inf).argsort(dim=-1, stable=True)


def next_farther(distance: Tensor, mask: Tensor, thresholds: Tensor) -> Tensor:
    """Return, for each threshold (B, K), the column of the nearest masked entry beyond it, or else of the farthest one.

    Args:
        distance: (B, Q).
        mask: (B, Q).
        thresholds: (B, K).
    """
    order = nearest_first(distance, mask)  # (B, Q)
    ordered = distance.detach().masked_fill(~mask, torch.inf).gather(1, order)
    place = torch.searchsorted(ordered, thresholds.detach(), right=True)  # (B, K)
    last = mask.sum(-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last).clamp_min(0))
