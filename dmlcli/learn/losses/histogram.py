"""The chance that a random negative pair is more similar than a random positive pair.

Formula: sum over nodes r of h-_r times the sum up to r of h+, h the soft histograms of similarities in the batch
Use: no margin or temperature to tune; pools all pairs, so it wants large batches.
Published: GoogLeNet 512: CUB 50.3, SOP 63.9 (Ustinova 2016†)
Compared: pytorch-metric-learning equal, but for the gradient next to a node, as it finds the bins in float32, and it
    fails at a similarity of 1
Source: Ustinova and Lempitsky, Learning Deep Embeddings with Histogram Loss, NeurIPS 2016, equations 1 to 4.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, soft_ranks
from dmlcli.learn.losses.interface import Loss, check_at_least


class Histogram(Loss):
    """Each similarity is shared between its two neighboring nodes, which makes the histograms differentiable.

    Settings:
        num_bins: bins between similarity -1 and 1; the authors' 200 are 0.01 wide
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "ranking"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, num_bins: int = 200, normalize: bool = True) -> None:
        check_at_least(1, num_bins=num_bins)
        super().__init__(num_labels, embedding_dim)
        self.num_bins, self.normalize = num_bins, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Overlap of the two distributions: (B, D), (B,) -> scalar in [0, 1]."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        positive, negative = pairwise.masks(labels)
        similarity = pairwise.similarity(images, images)  # (B, B): each pair twice, which leaves the shares as they are
        counts = soft_ranks.soft_histograms((similarity + 1) / 2, positive, negative, self.num_bins).sum(0)  # (2, R)
        negatives, positives = counts[0] / negative.sum().clamp_min(1), counts[1] / positive.sum().clamp_min(1)  # (R,)
        return (negatives * positives.cumsum(-1)).sum()


def definition(loss: Histogram, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 1 to 4 with loops."""
    x = F.normalize(embeddings)
    nodes = torch.linspace(-1, 1, loss.num_bins + 1, dtype=x.dtype)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(i):
            shares = F.relu(1 - (x[i] @ x[j] - nodes).abs() * loss.num_bins / 2)
            parts[bool(labels[i] == labels[j])].append(shares)
    if not parts[True] or not parts[False]:
        return embeddings.sum() * 0
    positives, negatives = (torch.stack(parts[same]).mean(0) for same in (True, False))
    return torch.stack([negatives[r] * positives[: r + 1].sum() for r in range(len(nodes))]).sum()
