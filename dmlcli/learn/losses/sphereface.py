"""Classification by angle: the own product must win although its angle is multiplied.

Formula: cross entropy of scale |x| cos(theta_c), for the own label scale |x| (psi + lam cos(theta_y)) / (1 + lam),
    psi = (-1)^k cos(margin theta_y) - 2 k, k = floor(margin theta_y / pi)
Use: the ancestor of cosface and arcface, harder to train than both; no sampler.
Compared: pytorch-metric-learning equal with lam=0,normalize=false,scale=1
Source: Liu et al., SphereFace: Deep Hypersphere Embedding for Face Recognition, CVPR 2017, equation 7;
    lam as in section 4.1.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss, check_at_least


class Sphereface(Loss):
    """A softmax over the cosines to one weight vector for each label, with a margin that grows with the angle.

    Settings:
        margin: what the own angle is multiplied by, a whole number
        scale: sharpness of the softmax; 1 in the paper, whose embeddings are raw
        lam: how much of the plain cosine is mixed in; the paper starts at 1000 and ends at 5
        normalize: scale embeddings to unit length first; the weights always are
    Parameters:
        weight: (C, D)
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
        margin: int = 4,
        scale: float = 30.0,
        lam: float = 5.0,
        normalize: bool = True,
    ) -> None:
        check_at_least(1, margin=margin)
        check_at_least(0, lam=lam)
        super().__init__(num_labels, embedding_dim)
        self.margin, self.scale, self.lam, self.normalize = margin, scale, lam, normalize
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
        weight = pairwise.prepare(self.weight, normalize=True)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            length = images.norm(dim=-1, keepdim=True)  # (B, 1)
            cosine = pairwise.similarity(F.normalize(images, dim=-1), weight)  # (B, C)
            own = cosine.gather(1, labels[:, None])  # (B, 1)
            own = (proxies.multiply_angle(own, self.margin) + self.lam * own) / (1 + self.lam)
            logits = self.scale * length * cosine.scatter(1, labels[:, None], own)  # (B, C)
            return F.cross_entropy(logits, labels, reduction="none")

        return proxies.by_slices(surprise, images, labels, len(weight)).mean()


def definition(loss: Sphereface, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 7 with loops."""
    x, weight = F.normalize(embeddings) if loss.normalize else embeddings, F.normalize(loss.weight)
    total = embeddings.sum() * 0
    for image, y in zip(x, labels.tolist(), strict=True):
        length, logits = image.norm(), []
        for c in range(len(weight)):
            angle = torch.acos(image @ weight[c] / length)
            value = torch.cos(angle)
            if c == y:
                k = math.floor(loss.margin * float(angle.detach()) / math.pi)
                value = ((-1) ** k * torch.cos(loss.margin * angle) - 2 * k + loss.lam * value) / (1 + loss.lam)
            logits.append(loss.scale * length * value)
        total = total + torch.logsumexp(torch.stack(logits), 0) - logits[y]
    return total / len(x)
