"""A proxy per product pulls all its images and pushes all others, the hard ones most.

Formula: mean over proxies with images of ln(1 + sum over own images of exp(-alpha (s - margin)))
    + mean over all proxies of ln(1 + sum over other images of exp(alpha (s + margin)))
Use: the default: no sampler, quick to converge, among the best published results.
Published: BN-Inception 512: CUB 69.1, Cars 86.4, SOP 79.2, In-shop 91.9; ResNet-50 512: CUB 69.9, Cars 87.7 (README)
Source: Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020, equation 4.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.learn.losses import pairs, proxies


class ProxyAnchor(nn.Module):
    """Compares every image with every proxy: no sampler is needed, cost is B x C.

    Settings:
        alpha: sharpness: how much more the hard images count
        margin: similarity to reach above zero for own images, and to stay below it for others
        normalize: scale embeddings and proxies to unit length first
    Parameters:
        proxies: (C, D)
    """

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 100.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, alpha: float = 32.0, margin: float = 0.1, normalize: bool = True
    ) -> None:
        super().__init__()
        self.alpha, self.margin, self.normalize = alpha, margin, normalize
        self.proxies = proxies.start(num_labels, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Mean over proxies of how badly their images are placed: (B, D), (B,) -> scalar >= 0."""
        images = pairs.prepare(embeddings, normalize=self.normalize)
        centers = pairs.prepare(self.proxies, normalize=self.normalize)

        def pull_and_push(centers: Tensor, center_labels: Tensor) -> Tensor:
            similarity = pairs.similarity(centers, images)  # (C, B)
            own = center_labels[:, None] == labels[None, :]  # (C, B)
            pull = pairs.log1p_sum_exp(-self.alpha * (similarity - self.margin), own)  # (C,)
            push = pairs.log1p_sum_exp(self.alpha * (similarity + self.margin), ~own)  # (C,)
            return torch.stack([pull, push, own.any(-1)], dim=-1)

        all_labels = torch.arange(len(centers), device=labels.device)
        pull, push, used = proxies.by_slices(pull_and_push, centers, all_labels, len(images)).unbind(-1)  # (C,) each
        return pairs.mean(pull, used > 0) + push.mean()


def definition(loss: ProxyAnchor, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 4 with loops."""
    images, proxies = F.normalize(embeddings), F.normalize(loss.proxies)
    pull, push, with_images = embeddings.new_zeros(()), embeddings.new_zeros(()), 0
    for label, proxy in enumerate(proxies):
        own = [
            math.e ** (-loss.alpha * (x @ proxy - loss.margin))
            for x, y in zip(images, labels, strict=True)
            if y == label
        ]
        others = [
            math.e ** (loss.alpha * (x @ proxy + loss.margin))
            for x, y in zip(images, labels, strict=True)
            if y != label
        ]
        if own:
            with_images += 1
            pull = pull + torch.log(1 + torch.stack(own).sum())
        if others:
            push = push + torch.log(1 + torch.stack(others).sum())
    return pull / with_images + push / len(proxies)
