"""Weighs each pair by how far it still is from its goal: a circle, not a line, divides good from bad.

Formula: mean over anchors of ln(1 + sum over N of exp(gamma [s + m]+ (s - m))
    times sum over P of exp(-gamma [1 + m - s]+ (s - (1 - m)))), the brackets constant in the gradient
Use: a strong general choice; m 0.4 and gamma 80 for retrieval, 0.25 and 256 for faces.
Published: BN-Inception 512: CUB 66.7, Cars 83.4, SOP 78.3 (paper†)
Compared: pytorch-metric-learning equal; TinyZeaMays/CircleLoss differs: it pools all pairs of the batch
Source: Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020, equation 6.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class Circle(Loss):
    """Self-paced soft maxima over the positives and negatives of each anchor.

    Settings:
        m: relaxation: positives shall exceed 1 - m, negatives stay below m
        gamma: scale of the similarities
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, m: float = 0.4, gamma: float = 80.0, normalize: bool = True
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.m, self.gamma, self.normalize = m, gamma, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over anchors that have both: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        similarity = pairwise.similarity(images, others)  # (B, Q)
        columns, real = pairwise.compact(positive)  # (B, K)
        close = similarity.gather(1, columns)  # (B, K)
        pull = -self.gamma * F.relu(1 + self.m - close.detach()) * (close - (1 - self.m))  # (B, K)
        push = self.gamma * F.relu(similarity.detach() + self.m) * (similarity - self.m)  # (B, Q)
        both = pairwise.logsumexp(pull, real) + pairwise.logsumexp(push, negative)  # (B,)
        return pairwise.mean(F.softplus(both), positive.any(-1) & negative.any(-1))


def definition(loss: Circle, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 6 with loops."""
    x = F.normalize(embeddings)
    values = []
    for i in range(len(x)):
        pull, push = [], []
        for j in range(len(x)):
            s = x[i] @ x[j]
            if labels[j] != labels[i]:
                push.append(torch.exp(loss.gamma * F.relu(s.detach() + loss.m) * (s - loss.m)))
            elif j != i:
                pull.append(torch.exp(-loss.gamma * F.relu(1 + loss.m - s.detach()) * (s - (1 - loss.m))))
        if pull and push:
            values.append(torch.log(1 + torch.stack(pull).sum() * torch.stack(push).sum()))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
