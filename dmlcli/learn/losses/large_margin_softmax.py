"""Plain classification, but the angle to the own product's weight is multiplied before it must win.

Formula: cross entropy of scale |w_c| |x| cos(theta_c),
    for the own label scale |w_y| |x| (psi + lam cos(theta_y)) / (1 + lam),
    psi = (-1)^k cos(margin theta_y) - 2 k, k = floor(margin theta_y / pi)
Use: softmax with a margin; sphereface, cosface and arcface are its successors, and easier to train.
Compared: pytorch-metric-learning equal with lam=0
Source: Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, equations 5 and 6;
    lam as in section 5.1.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss, check_at_least


class LargeMarginSoftmax(Loss):
    """A linear classifier without bias; both its weights and the embeddings keep their length.

    Settings:
        margin: what the own angle is multiplied by, a whole number
        scale: sharpness of the softmax; 1 in the paper
        lam: how much of the plain cosine is mixed in; 0 is the loss itself, which hardly converges from the start
        normalize: scale embeddings and weights to unit length first
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
        scale: float = 1.0,
        lam: float = 5.0,
        normalize: bool = False,
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
        weight = pairwise.prepare(self.weight, normalize=self.normalize)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            products = pairwise.similarity(images, weight)  # (B, C)
            own_weight = weight[labels]  # (B, D)
            cosine = (pairwise.unit(images) * pairwise.unit(own_weight)).sum(-1)  # (B,)
            turned = (proxies.multiply_angle(cosine, self.margin) + self.lam * cosine) / (1 + self.lam)
            own = images.norm(dim=-1) * own_weight.norm(dim=-1) * turned  # (B,)
            logits = self.scale * products.scatter(1, labels[:, None], own[:, None])  # (B, C)
            return F.cross_entropy(logits, labels, reduction="none")

        return proxies.by_slices(surprise, images, labels, len(weight)).mean()


def definition(loss: LargeMarginSoftmax, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 5 and 6 with loops."""
    x, weight = (F.normalize(rows) if loss.normalize else rows for rows in (embeddings, loss.weight))
    total = embeddings.sum() * 0
    for image, y in zip(x, labels.tolist(), strict=True):
        logits = []
        for c in range(len(weight)):
            length = image.norm() * weight[c].norm()
            angle = torch.acos(image @ weight[c] / length)
            value = torch.cos(angle)
            if c == y:
                k = math.floor(loss.margin * float(angle.detach()) / math.pi)
                value = ((-1) ** k * torch.cos(loss.margin * angle) - 2 * k + loss.lam * value) / (1 + loss.lam)
            logits.append(loss.scale * length * value)
        total = total + torch.logsumexp(torch.stack(logits), 0) - logits[y]
    return total / len(x)
