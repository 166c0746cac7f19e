"""Which pairs and triplets of a batch a loss looks at.

`B` is the batch, `Q` the references (the batch itself where none are given); ties go to the lowest index.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise

Pairs = Sequence[Tensor]  # masks (positive, negative), or indices (a, p, b, n)
Triplets = Tensor | Sequence[Tensor]  # (T, 3), or indices (anchors, positives, negatives)


def pair_masks(pairs: Pairs, shape: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return masks of the positive and of the negative pairs, each (B, Q); a pair that is named twice counts once.

    Args:
        pairs: masks (positive, negative), or indices (a, p, b, n).
        shape: (B, Q).
        device: of the embeddings.

    Raises:
        ValueError: they are neither, or an index is out of range.
    """
    if len(pairs) == 2 and all(mask.dtype == torch.bool and mask.shape == shape for mask in pairs):
        return pairs[0].to(device), pairs[1].to(device)
    if len(pairs) != 4:
        raise ValueError(f"pairs must be masks (positive, negative) of shape {shape} or indices (a, p, b, n)")
    found = []
    for side, columns in (("positive", pairs[:2]), ("negative", pairs[2:])):
        rows = _index_rows(list(columns), f"{side} pairs", shape, device)
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        mask[rows[:, 0], rows[:, 1]] = True
        found.append(mask)
    return found[0], found[1]


def triplet_rows(triplets: Triplets, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Return triplets as one tensor (T, 3), each row the indices (a, p, n).

    Args:
        triplets: such a tensor, or its three columns, each (T,).
        shape: (B, Q).
        device: of the embeddings.

    Raises:
        ValueError: they are neither, or an index is out of range.
    """
    columns = list(triplets.unbind(-1)) if isinstance(triplets, Tensor) and triplets.ndim == 2 else list(triplets)
    if len(columns) != 3:
        raise ValueError("triplets must be indices (anchors, positives, negatives), or one tensor of shape (T, 3)")
    return _index_rows(columns, "triplets", shape, device)


def _index_rows(columns: list[Tensor], name: str, shape: tuple[int, int], device: torch.device) -> Tensor:
    """Return indices (N, len(columns)): the first column of anchors, the others of what they are compared with."""
    if any(column.ndim != 1 or len(column) != len(columns[0]) for column in columns):
        raise ValueError(f"indices of {name} must be 1-D and of one length, not {[tuple(c.shape) for c in columns]}")
    if any(column.is_floating_point() or column.dtype == torch.bool for column in columns if len(column)):
        raise ValueError(f"indices of {name} must be integers, not {[column.dtype for column in columns]}")
    for column, size in zip(columns, [shape[0], *[shape[1]] * (len(columns) - 1)], strict=True):
        if len(column) and pairwise.looks_at(column) and not 0 <= int(column.min()) <= int(column.max()) < size:
            raise ValueError(
                f"indices of {name} must be 0 to {size - 1}, not {int(column.min())} to {int(column.max())}"
            )
    return torch.stack(columns, dim=-1).long().to(device)


def triplets_where(positive: Tensor, negative: Tensor, keep: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the triplets (T, 3) that a rule keeps, looking at one positive of each anchor at a time: memory B x Q.

    Args:
        positive: (B, Q) mask.
        negative: (B, Q) mask.
        keep: from the column (B,) of one positive of each anchor to a mask (B, Q) of the negatives to keep with it.
    """
    columns, real = pairwise.compact(positive)  # (B, K)
    found = []
    for column, here in zip(columns.unbind(-1), real.unbind(-1), strict=True):
        anchors, negatives = (keep(column) & negative & here[:, None]).nonzero().unbind(-1)
        found.append(torch.stack([anchors, column[anchors], negatives], dim=-1))
    return torch.cat(found)


def all_triplets(positive: Tensor, negative: Tensor) -> Tensor:
    """Return all triplets (T, 3) that the pairs of two masks (B, Q) form with each anchor."""
    return triplets_where(positive, negative, lambda column: negative)


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
