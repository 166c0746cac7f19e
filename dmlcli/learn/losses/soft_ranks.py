"""What the ranking losses share: counts that are whole numbers in the papers, made smooth enough to learn from."""

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def soft_ranks(values: Tensor, field: Tensor, temperature: float) -> Tensor:
    """Return the soft ranks (B, K), from 1, of values in their row of `field`.

    One value of every row at a time, recomputed in the backward pass: memory B x Q, whatever K is.

    Args:
        values: (B, K), entries of `field`.
        field: (B, Q).
        temperature: of the sigmoid.
    """

    def count_ahead(field: Tensor, value: Tensor) -> Tensor:
        return torch.sigmoid((field - value) / temperature).sum(-1)  # (B,)

    columns = [checkpoint(count_ahead, field, column[:, None], use_reentrant=False) for column in values.unbind(-1)]
    return torch.stack(columns, dim=-1) + 0.5  # its own sigmoid(0) is the other half


def soft_histograms(values: Tensor, positive: Tensor, negative: Tensor, bins: int) -> Tensor:
    """Return histograms (B, 2, bins + 1) of the negative and of the positive values.

    Each value is shared between the two of the bins + 1 equally spaced nodes that it lies between.

    Args:
        values: (B, Q), in [0, 1].
        positive: (B, Q) mask.
        negative: (B, Q) mask.
        bins: number of intervals between the nodes.
    """
    place = values.clamp(0, 1) * bins
    lower = place.detach().floor().clamp_max(bins - 1)  # so that a value of 1 falls into the last node
    counted = positive | negative
    upper_share = torch.where(counted, place - lower, 0.0)
    lower_share = torch.where(counted, 1 - upper_share, 0.0)
    node = lower.long() + (bins + 1) * positive  # (B, Q)
    counts = values.new_zeros(len(values), 2 * (bins + 1))
    counts = counts.scatter_add(1, node, lower_share).scatter_add(1, node + 1, upper_share)
    return counts.view(len(values), 2, bins + 1)
