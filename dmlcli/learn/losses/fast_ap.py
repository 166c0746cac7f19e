"""Average precision from a histogram of distances.

Formula: 1 - mean over anchors with positives of 1 / |P| sum over bins l of h+_l H+_l / H_l,
    h the soft histogram of squared distances, H its cumulative sum, + for positives alone
Use: optimizes the whole ranking at once; wants large batches.
Published: ResNet-50 512: SOP 76.4, In-shop 90.9 (paper†)
Compared: pytorch-metric-learning equal; kunhe/FastAP-metric-learning equal in value, its gradient is B / 2 times as
    long
Source: Cakir et al., Deep Metric Learning to Rank, CVPR 2019, equations 6 to 8.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, soft_ranks
from dmlcli.learn.losses.interface import Loss, check_at_least


class FastAp(Loss):
    """Each distance is shared between its two neighboring nodes, which makes the histogram differentiable.

    Settings:
        num_bins: bins between squared distance 0 and 4; the paper takes 10 to 20
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "ranking"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, num_bins: int = 10, normalize: bool = True) -> None:
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
        """Return the mean over anchors that have positives: (B, D), (B,) -> scalar in [0, 1]."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        positive, negative = pairwise.masks(labels)
        squared = pairwise.squared_distance(images, images)  # (B, B)
        negatives, positives = soft_ranks.soft_histograms(squared / 4, positive, negative, self.num_bins).unbind(
            1
        )  # (B, L)
        nearer_positives = positives.cumsum(-1)
        nearer = nearer_positives + negatives.cumsum(-1)
        precision = nearer_positives / torch.where(nearer > 0, nearer, 1.0)  # (B, L)
        average = (positives * precision).sum(-1) / positive.sum(-1).clamp_min(1)  # (B,)
        return pairwise.mean(1 - average, positive.any(-1))


def definition(loss: FastAp, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 6 to 8 with loops."""
    x = F.normalize(embeddings)
    nodes = torch.linspace(0, 4, loss.num_bins + 1, dtype=x.dtype)
    values = []
    for i in range(len(x)):
        histograms = {True: torch.zeros_like(nodes), False: torch.zeros_like(nodes)}
        own = 0
        for j in range(len(x)):
            if j != i:
                same = bool(labels[j] == labels[i])
                shares = F.relu(1 - ((x[i] - x[j]).square().sum() - nodes).abs() * loss.num_bins / 4)
                histograms[same] = histograms[same] + shares
                own += same
        if own:
            average = embeddings.sum() * 0
            for r in range(len(nodes)):
                nearer_positives, nearer_negatives = (histograms[same][: r + 1].sum() for same in (True, False))
                if nearer_positives > 0:
                    precision = nearer_positives / (nearer_positives + nearer_negatives)
                    average = average + histograms[True][r] * precision
            values.append(1 - average / own)
    return torch.stack(values).mean() if values else embeddings.sum() * 0
