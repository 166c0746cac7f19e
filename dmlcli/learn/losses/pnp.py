"""Counts the negatives that are ahead of each positive, with sigmoids in place of comparisons.

Formula: mean over anchors and their positives p of f(R), R = sum over N of sigmoid((s_n - s_p) / T);
    f(R) is R (O), (1 + R) ln(1 + R) (Iu), (b R - ln(1 + b R)) / b^2 (Ib), ln(1 + R) (Ds), 1 - 1 / (1 + R)^alpha (Dq)
Use: a ranking loss that pays equal attention to every positive (O), less to hopeless ones (Ds, Dq: the authors'
    choice), or more to them (Iu, Ib).
Compared: pytorch-metric-learning equal, all variants
Source: Li et al., Rethinking the Optimization of Average Precision: Only Penalizing Negative Instances before Positive
    Ones is Enough, AAAI 2022.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, soft_ranks
from dmlcli.learn.losses.interface import Loss, check_above


class Pnp(Loss):
    """Penalizes negatives before positives; positives do not compete with each other.

    Settings:
        variant: O (the plain count), Iu or Ib (gradient increases with the count), Ds or Dq (it decreases)
        alpha: power of Dq
        b: constant of Ib
        temperature: width of the sigmoids
        include_self: count the anchor as one of its positives, as the authors' code does
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
        variant: Literal["O", "Iu", "Ib", "Ds", "Dq"] = "Dq",
        alpha: float = 1.0,
        b: float = 2.0,
        temperature: float = 0.01,
        include_self: bool = True,
        normalize: bool = True,
    ) -> None:
        check_above(0, temperature=temperature, b=b)
        super().__init__(num_labels, embedding_dim)
        self.variant, self.alpha, self.b, self.temperature = variant, alpha, b, temperature
        self.include_self, self.normalize = include_self, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over anchors that have positives: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        positive, negative = pairwise.masks(labels)
        similarity = pairwise.similarity(images, images)  # (B, B)
        columns, real = pairwise.compact(~negative if self.include_self else positive)  # (B, K)
        rivals = similarity.masked_fill(~negative, pairwise.EMPTY)  # (B, B)
        ahead = soft_ranks.soft_ranks(similarity.gather(1, columns), rivals, self.temperature) - 0.5  # (B, K)
        penalty = torch.where(real, self._penalty(ahead), 0.0).sum(-1) / real.sum(-1).clamp_min(1)  # (B,)
        return pairwise.mean(penalty, positive.any(-1))

    def _penalty(self, ahead: Tensor) -> Tensor:
        """Return the penalty for a number of negatives ahead of a positive."""
        if self.variant == "Iu":
            return (1 + ahead) * torch.log1p(ahead)
        if self.variant == "Ib":
            return (self.b * ahead - torch.log1p(self.b * ahead)) / self.b**2
        if self.variant == "Ds":
            return torch.log1p(ahead)
        if self.variant == "Dq":
            return 1 - (1 + ahead) ** -self.alpha
        return ahead


def definition(loss: Pnp, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula positive by positive."""
    x = F.normalize(embeddings)
    values = []
    for i in range(len(x)):
        positives = [j for j in range(len(x)) if labels[j] == labels[i] and (j != i or loss.include_self)]
        if not set(positives) - {i}:
            continue
        penalties = []
        for p in positives:
            ahead = embeddings.sum() * 0
            for n in range(len(x)):
                if labels[n] != labels[i]:
                    ahead = ahead + torch.sigmoid((x[i] @ x[n] - x[i] @ x[p]) / loss.temperature)
            penalties.append(
                {
                    "O": ahead,
                    "Iu": (1 + ahead) * torch.log(1 + ahead),
                    "Ib": (loss.b * ahead - torch.log(1 + loss.b * ahead)) / loss.b**2,
                    "Ds": torch.log(1 + ahead),
                    "Dq": 1 - 1 / (1 + ahead) ** loss.alpha,
                }[loss.variant]
            )
        values.append(torch.stack(penalties).mean())
    return torch.stack(values).mean() if values else embeddings.sum() * 0
