"""Each positive pair, its angle widened by a margin, against all negatives of its anchor.

Formula: mean over positive pairs of ln(1 + sum over N of exp(scale (s_n - cos(theta_p - margin))))
Use: like nt-xent with a slack that keeps hard positive pairs from being pulled too close.
Published: ResNet-50 512, with its intra-pair variance term: CUB 62.5, Cars 86.3, SOP 78.0 (paper†)
Compared: pytorch-metric-learning equal, NaN for copies of an image
Source: Yu and Tao, Deep Metric Learning with Tuplet Margin Loss, ICCV 2019, equation 4.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class TupletMargin(Loss):
    """A scaled softmax of one positive against the negatives, on cosines.

    Settings:
        margin_deg: slack of the positive pair's angle, in degrees
        scale: sharpness of the softmax
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
        margin_deg: float = 5.73,
        scale: float = 64.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.margin, self.scale, self.normalize = math.radians(margin_deg), scale, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over positive pairs: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        similarity = pairwise.similarity(images, others)  # (B, Q)
        rivals = pairwise.logsumexp(self.scale * similarity, negative)[:, None]  # (B, 1)
        columns, real = pairwise.compact(positive)  # (B, K)
        partner = pairwise.turn(similarity.gather(1, columns), -self.margin)  # (B, K)
        return pairwise.mean(F.softplus(rivals - self.scale * partner), real & negative.any(-1, keepdim=True))


def definition(loss: TupletMargin, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 4 with loops."""
    x = F.normalize(embeddings)
    values = []
    for i in range(len(x)):
        negatives = [x[i] @ x[n] for n in range(len(x)) if labels[n] != labels[i]]
        for p in range(len(x)):
            if p != i and labels[p] == labels[i] and negatives:
                partner = torch.cos(torch.acos(x[i] @ x[p]) - loss.margin)
                values.append(torch.log(1 + torch.exp(loss.scale * (torch.stack(negatives) - partner)).sum()))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
