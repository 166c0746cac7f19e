"""A triplet loss without a margin: each triplet weighs as much as the share of triplets that are easier.

Formula: mean over triplets of F(t) t, t = d_ap - d_an, d Euclidean; F, the share of all t so far below this one, is
    read from a histogram that follows the batches with a momentum, and is a constant in the gradient
Use: where a margin is hard to choose; the hardest negatives, as in the paper, want clean labels.
Compared: pytorch-metric-learning equal in value for the first batch with mining=all,num_bins=10: it cannot follow a
    second, and differentiates the histogram
Source: Zhang and Rusinkiewicz, Learning Local Descriptors with a CDF-Based Dynamic Soft Margin, ICCV 2019.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class DynamicSoftMargin(Loss):
    """The histogram is a buffer: it is saved with the loss, and moved by batches in training mode only.

    Settings:
        mining: hardest, the nearest negative of either image of each positive pair, or all triplets
        num_bins: bins of the histogram between -2 and 2
        momentum: share of a batch in the histogram; the first batch is all of it
    """

    family: ClassVar[str] = "triplet"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    histogram: Tensor

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        mining: Literal["hardest", "all"] = "hardest",
        num_bins: int = 512,
        momentum: float = 0.01,
    ) -> None:
        if num_bins < 1 or not 0 < momentum <= 1:
            raise ValueError(f"num_bins must be at least 1, momentum above 0 to 1, not {num_bins} and {momentum}")
        super().__init__(num_labels, embedding_dim)
        self.mining, self.num_bins, self.momentum = mining, num_bins, momentum
        self.register_buffer("histogram", torch.zeros(num_bins + 1))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over triplets: (B, D), (B,) -> scalar."""
        images = pairwise.prepare(embeddings, normalize=True)
        positive, negative = pairwise.masks(labels)
        distance = pairwise.root(pairwise.squared_distance(images, images))  # (B, B)
        columns, real = pairwise.compact(positive & negative.any(-1, keepdim=True))  # (B, K)
        near = distance.gather(1, columns)  # (B, K)
        if self.mining == "hardest":
            nearest = distance.masked_fill(~negative, torch.inf).amin(-1)  # (B,)
            gap = torch.where(real, near - torch.minimum(nearest[:, None], nearest[columns]), 0.0)  # (B, K)
            return self._weighted_mean([gap], [real])
        gaps = [to_positive[:, None] - distance for to_positive in near.unbind(-1)]  # (B, B) each
        return self._weighted_mean(gaps, [negative & one[:, None] for one in real.unbind(-1)])

    def _weighted_mean(self, gaps: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Return the mean of F(t) t over the masked entries, after the histogram has followed them."""
        with torch.no_grad():
            cumulative = self._follow(gaps, masks).cumsum(0)
            shares = [
                cumulative[self._position(gap).floor().long()] * mask for gap, mask in zip(gaps, masks, strict=True)
            ]
        count = torch.stack([mask.sum() for mask in masks]).sum().clamp_min(1)
        return (
            torch.stack([pairwise.weigh(gap, share).sum() for share, gap in zip(shares, gaps, strict=True)]).sum()
            / count
        )

    def _follow(self, gaps: list[Tensor], masks: list[Tensor]) -> Tensor:
        """Return the histogram (num_bins + 1,) with a batch in it, each value shared between its two nearest nodes."""
        counts = gaps[0].new_zeros(self.num_bins + 2)
        for gap, mask in zip(gaps, masks, strict=True):
            position = self._position(gap)
            lower = position.floor()
            for node, share in ((lower, 1 - position + lower), (lower + 1, position - lower)):
                counts = counts.index_add(0, node.long().flatten(), (share * mask).flatten())
        counts = counts[:-1] / counts.sum().clamp_min(1e-12)
        past = self.histogram.to(counts.dtype)
        followed = torch.where(past.any(), past.lerp(counts, self.momentum), counts)
        followed = torch.where(counts.any(), followed, past)
        if self.training:
            self.histogram.copy_(followed)
        return followed

    def _position(self, gap: Tensor) -> Tensor:
        """Return where values from -2 to 2 are on the scale of nodes, 0 to `num_bins`."""
        return ((gap + 2) / 4).clamp(0, 1) * self.num_bins


def definition(loss: DynamicSoftMargin, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula triplet by triplet, for the first batch."""
    x = F.normalize(embeddings)
    rows = range(len(x))
    gaps: list[Tensor] = []
    for a in rows:
        for p in rows:
            negatives = [n for n in rows if labels[n] != labels[a]]
            if p == a or labels[p] != labels[a] or not negatives:
                continue
            if loss.mining == "hardest":
                rival = torch.stack([(x[i] - x[n]).norm() for i in (a, p) for n in negatives]).min()
                gaps.append((x[a] - x[p]).norm() - rival)
            else:
                gaps += [(x[a] - x[p]).norm() - (x[a] - x[n]).norm() for n in negatives]
    histogram = [0.0] * (loss.num_bins + 2)
    places = [(float(gap.detach()) + 2) / 4 * loss.num_bins for gap in gaps]
    for place in places:
        histogram[int(place)] += 1 - place % 1
        histogram[int(place) + 1] += place % 1
    total = embeddings.sum() * 0
    for gap, place in zip(gaps, places, strict=True):
        total = total + sum(histogram[: int(place) + 1]) / len(gaps) * gap
    return total / max(len(gaps), 1)
