"""Classification by angle: the own product must win although its angle is widened by a margin.

Formula: cross entropy of scale cos(theta_c), with theta_y + margin for the own label,
    and scale (cos(theta_y) - margin sin(margin)) where that would pass pi
Use: many products with enough images each; no sampler.
    Scale 64 suits 10 000 products, 16 to 30 a hundred.
Compared: pytorch-metric-learning equal, its margin in degrees; open-metric-learning equal
Source: Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019, equation 3.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss


class Arcface(Loss):
    """A softmax over the cosines to one weight vector for each label.

    Settings:
        margin: angle added to the own label's, in radians
        scale: sharpness of the softmax
        normalize: scale embeddings and weights to unit length first
    Parameters:
        weight: (C, D)
    """

    family: ClassVar[str] = "classifier"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 50.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, margin: float = 0.5, scale: float = 64.0, normalize: bool = True
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.margin, self.scale, self.normalize = margin, scale, normalize
        self.weight = proxies.start(num_labels, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        weight = pairwise.prepare(self.weight, normalize=self.normalize)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            cosine = pairwise.similarity(images, weight)  # (B, C)
            own = proxies.widen(cosine.gather(1, labels[:, None]), self.margin)  # (B, 1)
            return F.cross_entropy(self.scale * cosine.scatter(1, labels[:, None], own), labels, reduction="none")

        return proxies.by_slices(surprise, images, labels, len(weight)).mean()


def definition(loss: Arcface, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 3 with loops."""
    total = embeddings.sum() * 0
    for image, y in zip(F.normalize(embeddings), labels.tolist(), strict=True):
        logits = []
        for c, weight in enumerate(F.normalize(loss.weight)):
            angle = torch.acos(image @ weight)
            if c == y and angle + loss.margin <= math.pi:
                logits.append(loss.scale * torch.cos(angle + loss.margin))
            else:
                slack = loss.margin * math.sin(loss.margin) if c == y else 0.0
                logits.append(loss.scale * (torch.cos(angle) - slack))
        total = total + torch.logsumexp(torch.stack(logits), 0) - logits[y]
    return total / len(embeddings)
