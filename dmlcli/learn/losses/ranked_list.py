"""Pulls positives inside a ball and pushes negatives out of a larger one, the worst offenders most.

Formula: mean over anchors of (1 - lam) sum over P of w v / sum w, v = [d - (alpha - margin)]+, w = exp(Tp v)
    + lam sum over N of w v / sum w, v = [alpha - d]+, w = exp(Tn v), where v > 0; w constant in the gradient
Use: keeps the spread inside a product instead of shrinking it to a point.
Published: GoogLeNet 512: CUB 57.4, Cars 74.0, SOP 76.1 (paper†)
Compared: pytorch-metric-learning differs: it adds 1e-5 to the divisors and differentiates the weights
Source: Wang et al., Ranked List Loss for Deep Metric Learning, CVPR 2019, equations 5 to 8.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss, check_between


class RankedList(Loss):
    """Weighted hinges on distances, one side after the other; each side stays where the other is missing.

    Settings:
        alpha: distance beyond which negatives are left alone
        margin: width of the gap; positives nearer than alpha - margin are left alone
        Tn: how much more the nearer negatives weigh
        Tp: how much more the farther positives weigh
        lam: share of the negatives in the loss, 0 to 1
        detach_weights: keep the weights constant in the gradient, as in the paper
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
        alpha: float = 1.2,
        margin: float = 0.4,
        Tn: float = 10.0,
        Tp: float = 0.0,
        lam: float = 0.5,
        detach_weights: bool = True,
        normalize: bool = True,
    ) -> None:
        check_between(0, 1, lam=lam)
        super().__init__(num_labels, embedding_dim)
        self.alpha, self.margin, self.Tn, self.Tp, self.lam = alpha, margin, Tn, Tp, lam
        self.detach_weights, self.normalize = detach_weights, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over all B anchors: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        distance = pairwise.root(pairwise.squared_distance(images, others))  # (B, Q)
        columns, real = pairwise.compact(positive)  # (B, K)
        pull = self._weighted(F.relu(distance.gather(1, columns) - (self.alpha - self.margin)), real, self.Tp)  # (B,)
        push = self._weighted(F.relu(self.alpha - distance), negative, self.Tn)  # (B,)
        return ((1 - self.lam) * pull + self.lam * push).mean()

    def _weighted(self, violation: Tensor, mask: Tensor, temperature: float) -> Tensor:
        """Return each row's mean (B,) of violations (B, Q) where `mask`, weighted by exp(temperature * violation)."""
        active = mask & (violation > 0)
        weights = (temperature * violation).masked_fill(~active, pairwise.EMPTY).softmax(-1)  # (B, Q)
        weighed = pairwise.weigh(violation, weights) if self.detach_weights else violation * weights
        return (weighed * mask).sum(-1)


def definition(loss: RankedList, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 5 to 8 with loops."""
    x = F.normalize(embeddings)
    total = embeddings.sum() * 0
    for i in range(len(x)):
        pull, push = [], []
        for j in range(len(x)):
            distance = (x[i] - x[j]).norm()
            if labels[j] != labels[i]:
                push.append(loss.alpha - distance)
            elif j != i:
                pull.append(distance - (loss.alpha - loss.margin))
        for share, temperature, values in ((1 - loss.lam, loss.Tp, pull), (loss.lam, loss.Tn, push)):
            active = [v for v in values if v > 0]
            if active:
                v = torch.stack(active)
                w = torch.exp(temperature * (v.detach() if loss.detach_weights else v))
                total = total + share * (w * v).sum() / w.sum()
    return total / len(x)
