"""Draws every product's similarities to the same thresholds, so that one threshold suits all products.

Formula: lambda_plus * mean over positives with s <= margin_plus of margin_plus - s
    + lambda_minus * mean over negatives with s >= margin_minus of s - margin_minus
Use: as a part of a sum, where queries are answered only above a score: proxy-anchor+threshold-consistent-margin.
Compared: pytorch-metric-learning equal
Source: Zhang et al., Threshold-Consistent Margin Loss for Open-World Deep Metric Learning, ICLR 2024.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class ThresholdConsistentMargin(Loss):
    """Only the hard pairs count, those on the wrong side of their margin, and each side has its own mean.

    Settings:
        margin_plus: positives more similar than this are left alone
        margin_minus: negatives less similar than this are left alone
        lambda_plus: weight of the positive side
        lambda_minus: weight of the negative side
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
        margin_plus: float = 0.9,
        margin_minus: float = 0.5,
        lambda_plus: float = 1.0,
        lambda_minus: float = 1.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.margin_plus, self.margin_minus, self.normalize = margin_plus, margin_minus, normalize
        self.lambda_plus, self.lambda_minus = lambda_plus, lambda_minus

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Positive part plus negative part: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        similarity = pairwise.similarity(images, others)  # (B, Q)
        columns, real = pairwise.compact(positive)  # (B, K)
        close = similarity.gather(1, columns)  # (B, K)
        pull = pairwise.mean(self.margin_plus - close, real & (close <= self.margin_plus))
        push = pairwise.mean(similarity - self.margin_minus, negative & (similarity >= self.margin_minus))
        return self.lambda_plus * pull + self.lambda_minus * push


def definition(loss: ThresholdConsistentMargin, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula pair by pair."""
    x = F.normalize(embeddings)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(len(x)):
            same = bool(labels[i] == labels[j])
            similarity = x[i] @ x[j]
            gap = loss.margin_plus - similarity if same else similarity - loss.margin_minus
            if i != j and gap >= 0:
                parts[same].append((loss.lambda_plus if same else loss.lambda_minus) * gap)
    return sum((torch.stack(values).mean() for values in parts.values() if values), embeddings.sum() * 0)
