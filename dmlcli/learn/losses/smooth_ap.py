"""Average precision with sigmoids in place of comparisons.

Formula: 1 - mean over anchors and their positives p of
    (1 + sum over other positives of sigmoid((s - s_p) / T)) / (1 + sum over all others of sigmoid((s - s_p) / T))
Use: optimizes the whole ranking at once; wants large batches and a head that already ranks somewhat.
Published: ResNet-50 512, 384 images a batch: SOP 80.1 (paper†)
Compared: pytorch-metric-learning equal in blocks with as many products as images of each, else differs: it mistakes
    one number for the other; Andrew-Brown1/Smooth_AP equal
Source: Brown et al., Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval, ECCV 2020, equation 6.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, soft_ranks
from dmlcli.learn.losses.interface import Loss, check_above


class SmoothAp(Loss):
    """The precision at each positive is its rank among the positives divided by its rank among all.

    Settings:
        temperature: width of the sigmoids; lower is closer to true ranks but has less gradient
        include_self: count the anchor as its own first hit, as the authors' code does
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "ranking"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        temperature: float = 0.01,
        include_self: bool = True,
        normalize: bool = True,
    ) -> None:
        check_above(0, temperature=temperature)
        super().__init__(num_labels, embedding_dim)
        self.temperature, self.include_self, self.normalize = temperature, include_self, normalize

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
        similarity = pairwise.similarity(images, images)  # (B, B)
        hits = ~negative if self.include_self else positive
        columns, real = pairwise.compact(hits)  # (B, K)
        field = similarity.masked_fill(~(hits | negative), pairwise.EMPTY)  # (B, B)
        values = similarity.gather(1, columns).masked_fill(~real, pairwise.EMPTY)  # (B, K)
        rank_of_hits = soft_ranks.soft_ranks(values, values, self.temperature)  # (B, K)
        rank_of_all = soft_ranks.soft_ranks(values, field, self.temperature)  # (B, K)
        average = torch.where(real, rank_of_hits / rank_of_all, 0.0).sum(-1) / real.sum(-1).clamp_min(1)  # (B,)
        return pairwise.mean(1 - average, positive.any(-1))


def definition(loss: SmoothAp, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 6 with loops."""
    x = F.normalize(embeddings)
    values = []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i or loss.include_self]
        hits = [j for j in others if labels[j] == labels[i]]
        if not set(hits) - {i}:
            continue
        precisions = []
        for p in hits:
            ahead = {q: torch.sigmoid((x[i] @ x[q] - x[i] @ x[p]) / loss.temperature) for q in others if q != p}
            hits_ahead = torch.stack([ahead[q] for q in hits if q != p]).sum() if len(hits) > 1 else 0
            precisions.append((1 + hits_ahead) / (1 + torch.stack(list(ahead.values())).sum()))
        values.append(1 - torch.stack(precisions).mean())
    return torch.stack(values).mean() if values else embeddings.sum() * 0
