"""ArcFace with several centers for each product: the nearest counts, so wrongly labeled images find their own.

Formula: arcface with cos(theta_c) = maximum over k of x . w_ck
Use: catalogs with wrong labels, or products shown in very different ways; no sampler.
Compared: pytorch-metric-learning equal
Source: Deng et al., Sub-center ArcFace: Boosting Face Recognition by Large-Scale Noisy Web Faces, ECCV 2020,
    equation 2.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss, check_at_least


class SubCenterArcface(Loss):
    """A softmax over the cosines to the nearest of several weight vectors for each label.

    Settings:
        num_centers: centers of each label (K)
        margin: angle added to the own label's, in radians
        scale: sharpness of the softmax
        normalize: scale embeddings and weights to unit length first
    Parameters:
        weight: (C, K, D)
    """

    family: ClassVar[str] = "classifier"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 50.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        num_centers: int = 3,
        margin: float = 0.5,
        scale: float = 64.0,
        normalize: bool = True,
    ) -> None:
        check_at_least(1, num_centers=num_centers)
        super().__init__(num_labels, embedding_dim)
        self.margin, self.scale, self.normalize = margin, scale, normalize
        self.weight = proxies.start(num_labels, num_centers, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        weight = pairwise.prepare(self.weight, normalize=self.normalize)  # (C, K, D)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            each = pairwise.similarity(images, weight.flatten(0, 1)).view(-1, *weight.shape[:2])  # (B, C, K)
            cosine = each.max(-1).values  # (B, C)
            own = proxies.widen(cosine.gather(1, labels[:, None]), self.margin)  # (B, 1)
            return F.cross_entropy(self.scale * cosine.scatter(1, labels[:, None], own), labels, reduction="none")

        return proxies.by_slices(surprise, images, labels, weight.shape[0] * weight.shape[1]).mean()


def definition(loss: SubCenterArcface, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 2 with loops."""
    total = embeddings.sum() * 0
    for image, y in zip(F.normalize(embeddings), labels.tolist(), strict=True):
        logits = []
        for c, centers in enumerate(F.normalize(loss.weight, dim=-1)):
            angle = torch.acos(max(image @ center for center in centers))
            if c == y and angle + loss.margin <= math.pi:
                logits.append(loss.scale * torch.cos(angle + loss.margin))
            else:
                slack = loss.margin * math.sin(loss.margin) if c == y else 0.0
                logits.append(loss.scale * (torch.cos(angle) - slack))
        total = total + torch.logsumexp(torch.stack(logits), 0) - logits[y]
    return total / len(embeddings)
