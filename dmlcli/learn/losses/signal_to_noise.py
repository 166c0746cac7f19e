"""Contrastive on the difference of two embeddings (noise), relative to the anchor (signal).

Formula: d_ij = var(x_j - x_i) / var(x_i); mean over positives of [d - pos_margin]+ + mean over negatives of
    [neg_margin - d]+, each over its active pairs, + zero_mean * mean of |sum of the entries of x|
Use: an alternative distance to try where contrastive works; embeddings shall have mean zero.
Compared: pytorch-metric-learning equal
Source: Yuan et al., Signal-to-Noise Ratio: A Robust Distance Metric for Deep Metric Learning, CVPR 2019,
    equations 5 and 7.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise
from dmlcli.learn.losses.interface import Loss


class SignalToNoise(Loss):
    """The variance runs over the entries of an embedding; the distance of i to j is not that of j to i.

    Settings:
        pos_margin: positives with less noise than this are left alone
        neg_margin: negatives with more noise than this are left alone
        zero_mean: weight of the penalty that draws the sum of each embedding's entries to zero
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        pos_margin: float = 0.0,
        neg_margin: float = 1.0,
        zero_mean: float = 0.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.pos_margin, self.neg_margin, self.zero_mean, self.normalize = pos_margin, neg_margin, zero_mean, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Positive part plus negative part plus penalty: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        distance = distances.between("signal-to-noise", images, others)  # (B, Q)
        pull, push = F.relu(distance - self.pos_margin), F.relu(self.neg_margin - distance)
        contrast = pairwise.mean(pull, positive & (pull > 0)) + pairwise.mean(push, negative & (push > 0))
        return contrast + self.zero_mean * images.sum(-1).abs().mean()


def definition(loss: SignalToNoise, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 5 and 7 with loops."""
    x = F.normalize(embeddings)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(len(x)):
            if i == j:
                continue
            distance = (x[j] - x[i]).var() / x[i].var()
            same = bool(labels[i] == labels[j])
            violation = distance - loss.pos_margin if same else loss.neg_margin - distance
            if violation > 0:
                parts[same].append(violation)
    total = loss.zero_mean * torch.stack([row.sum().abs() for row in x]).mean()
    return sum((torch.stack(values).mean() for values in parts.values() if values), total)
