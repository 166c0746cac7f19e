"""Bounds the angle at the negative of the triangle that it makes with a positive pair.

Formula: mean over ordered positive pairs (a, p) of
    ln(1 + sum over N of exp(4 t (x_a + x_p) . x_n - 2 (1 + t) x_a . x_p)), t = tan^2(alpha)
Use: scale-free geometry, no margin in distances; often combined: n-pair-angular.
Compared: pytorch-metric-learning equal in value on unit vectors, else differs: it leaves the negatives as they are
Source: Wang et al., Deep Metric Learning with Angular Loss, ICCV 2017, equation 8.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss, check_between


class Angular(Loss):
    """A soft maximum over the negatives of each positive pair.

    Settings:
        alpha: the largest angle at the negative, in degrees, 0 to 89
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "triplet"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, alpha: float = 45.0, normalize: bool = True) -> None:
        check_between(0, 89, alpha=alpha)
        super().__init__(num_labels, embedding_dim)
        self.tangent, self.normalize = math.tan(math.radians(alpha)) ** 2, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over ordered positive pairs: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        similarity = pairwise.similarity(images, others)  # (B, Q)
        columns, real = pairwise.compact(positive)  # (B, K)
        close = 2 * (1 + self.tangent) * similarity.gather(1, columns)  # (B, K)

        def rivals(similarity: Tensor, others: Tensor, partners: Tensor) -> Tensor:
            # without references the partners' similarities are rows of the anchors' own matrix
            theirs = similarity[partners] if references is None else pairwise.similarity(others[partners], others)
            return pairwise.logsumexp(4 * self.tangent * (similarity + theirs), negative)  # (B,)

        # one positive of each anchor at a time, recomputed in the backward pass: memory B x Q, whatever K is
        far = [checkpoint(rivals, similarity, others, partners, use_reentrant=False) for partners in columns.unbind(-1)]
        return pairwise.mean(F.softplus(torch.stack(far, dim=-1) - close), real & negative.any(-1, keepdim=True))


def definition(loss: Angular, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 8 with loops."""
    x = F.normalize(embeddings)
    t = loss.tangent
    values = []
    for a in range(len(x)):
        for p in range(len(x)):
            if p == a or labels[p] != labels[a]:
                continue
            terms = [
                torch.exp(4 * t * (x[a] + x[p]) @ x[n] - 2 * (1 + t) * x[a] @ x[p])
                for n in range(len(x))
                if labels[n] != labels[a]
            ]
            if terms:
                values.append(torch.log(1 + torch.stack(terms).sum()))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
