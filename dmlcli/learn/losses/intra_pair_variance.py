"""Narrows the distribution of positive similarities from below and that of negative ones from above.

Formula: mean over positives of [(1 - pos_eps) m_p - s]+^2 + mean over negatives of [s - (1 + neg_eps) m_n]+^2,
    m_p and m_n the mean similarities of the positives and of the negatives of the batch
Use: only in a sum with a loss that separates products: tuplet-margin+0.5*intra-pair-variance.
Compared: pytorch-metric-learning equal
Source: Yu and Tao, Deep Metric Learning with Tuplet Margin Loss, ICCV 2019, section 3.3.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class IntraPairVariance(Loss):
    """Only pairs on the wrong side of their own mean count; the means have a gradient too.

    Settings:
        pos_eps: positives less similar than their mean by more than this share of it are pulled
        neg_eps: negatives more similar than their mean by more than this share of it are pushed
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
        pos_eps: float = 0.01,
        neg_eps: float = 0.01,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.pos_eps, self.neg_eps, self.normalize = pos_eps, neg_eps, normalize

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
        pull = F.relu((1 - self.pos_eps) * pairwise.mean(close, real) - close)
        push = F.relu(similarity - (1 + self.neg_eps) * pairwise.mean(similarity, negative))
        return pairwise.mean(pull.square(), real) + pairwise.mean(push.square(), negative)


def definition(loss: IntraPairVariance, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula pair by pair."""
    x = F.normalize(embeddings)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(len(x)):
            if i != j:
                parts[bool(labels[i] == labels[j])].append(x[i] @ x[j])
    total = embeddings.sum() * 0
    if parts[True]:
        mean = torch.stack(parts[True]).mean()
        total = total + torch.stack([F.relu((1 - loss.pos_eps) * mean - s) ** 2 for s in parts[True]]).mean()
    if parts[False]:
        mean = torch.stack(parts[False]).mean()
        total = total + torch.stack([F.relu(s - (1 + loss.neg_eps) * mean) ** 2 for s in parts[False]]).mean()
    return total
