"""The chance that an image picks one of its own product as its neighbor.

Formula: mean over anchors with positives of -ln(sum over P of exp(-scale d^2) / sum over P and N of exp(-scale d^2))
Use: optimizes nearest-neighbor accuracy directly; with k, only the neighborhood that a search would show counts.
Compared: pytorch-metric-learning equal, NaN where no image has positives
Source: Goldberger et al., Neighborhood Components Analysis, NeurIPS 2004, equations 1 and 2;
    the k nearest as in the Deep_Metric repository of bnu-wangxun.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise
from dmlcli.learn.losses.distances import Distance
from dmlcli.learn.losses.interface import Loss, check_above, check_at_least


class Nca(Loss):
    """A softmax over the squared distances to all other images.

    Settings:
        distance: what takes the place of d^2
        scale: sharpness of the choice; the paper's 1 is nearly flat on unit vectors, whose squared distance ends at 4
        k: look only at the k nearest images, and at the nearest positive where none is among them; none for all
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
        distance: Distance = "squared-euclidean",
        scale: float = 8.0,
        k: int | None = None,
        normalize: bool = True,
    ) -> None:
        check_above(0, scale=scale)
        if k is not None:
            check_at_least(1, k=k)
        super().__init__(num_labels, embedding_dim)
        self.distance, self.scale, self.k, self.normalize = distance, scale, k, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over anchors that have positives: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        if self.distance == "squared-euclidean":  # without |x|^2, which an image has in common with all others
            logits = pairwise.similarity(2 * self.scale * images, others) - self.scale * others.square().sum(-1)
        else:
            logits = -self.scale * distances.between(self.distance, images, others)  # (B, Q)
        valid = positive.any(-1)  # (B,)
        if self.k is not None:
            positive, negative = self._neighbors(logits, positive, negative)
        columns, real = pairwise.compact(positive)  # (B, K)
        own = pairwise.logsumexp(logits.gather(1, columns), real)  # (B,)
        return pairwise.mean(pairwise.logsumexp(logits, positive | negative) - own, valid)

    @torch.no_grad()
    def _neighbors(self, logits: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """Leave in both masks (B, Q) only the k nearest, and at least one positive."""
        k = min(self.k or 0, logits.shape[1])
        nearest = logits.masked_fill(~(positive | negative), -torch.inf).topk(k).indices  # (B, k)
        near = torch.zeros_like(positive).scatter(1, nearest, True)
        first = logits.masked_fill(~positive, -torch.inf).argmax(-1, keepdim=True)  # (B, 1)
        none = ~(positive & near).any(-1, keepdim=True)  # (B, 1)
        spare = torch.zeros_like(positive).scatter(1, first, none)
        return positive & (near | spare), negative & near


def definition(loss: Nca, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 1 and 2 with loops."""
    x = F.normalize(embeddings)
    values = []

    def distance(i: int, j: int) -> Tensor:
        return distances.of_pair(loss.distance, x[i], x[j])

    for i in range(len(x)):
        weight = {j: torch.exp(-loss.scale * distance(i, j)) for j in range(len(x)) if j != i}
        near = sorted(weight, key=lambda j: -float(weight[j].detach()))
        own = [j for j in near if labels[j] == labels[i]]
        if not own:
            continue
        if loss.k is not None:
            near = near[: loss.k]
            if not set(own) & set(near):
                near.append(own[0])
        probability = (
            torch.stack([weight[j] for j in near if j in own]).sum() / torch.stack([weight[j] for j in near]).sum()
        )
        values.append(-torch.log(probability))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
