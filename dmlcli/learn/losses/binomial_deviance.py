"""A logistic curve for each pair: similar beyond a threshold, or dissimilar below it, is good.

Formula: mean over positives of ln(1 + exp(-alpha (s - beta)))
    + mean over negatives of ln(1 + exp(alpha cost (s - beta)))
Use: a smooth contrastive loss whose every pair keeps some gradient; needs no mining.
Published: GoogLeNet 512: CUB 52.8, SOP 65.5 (Ustinova 2016†)
Compared: bnu-wangxun/Deep_Metric equal with cost=20 for products of equal size, else differs: it takes means for each
    anchor
Source: Yi et al., Deep Metric Learning for Person Re-Identification, ICPR 2014;
    cost as in Ustinova and Lempitsky, 2016.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class BinomialDeviance(Loss):
    """Softplus of the scaled similarity; a batch without positives or without negatives keeps its other half.

    Settings:
        alpha: steepness of the curve
        beta: similarity at which a pair turns from bad to good
        cost: how much steeper the curve is for negatives
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
        alpha: float = 2.0,
        beta: float = 0.5,
        cost: float = 25.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.alpha, self.beta, self.cost, self.normalize = alpha, beta, cost, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over positives plus mean over negatives: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        beyond = self.alpha * (pairwise.similarity(images, others) - self.beta)  # (B, Q)
        deviance = F.softplus(torch.where(positive, -beyond, self.cost * beyond))  # (B, Q)
        return pairwise.mean(deviance, positive) + pairwise.mean(deviance, negative)


def definition(loss: BinomialDeviance, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula pair by pair."""
    x = F.normalize(embeddings)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(i):
            same = bool(labels[i] == labels[j])
            slope = -loss.alpha if same else loss.alpha * loss.cost
            parts[same].append(torch.log(1 + torch.exp(slope * (x[i] @ x[j] - loss.beta))))
    return sum((torch.stack(values).mean() for values in parts.values() if values), embeddings.sum() * 0)
