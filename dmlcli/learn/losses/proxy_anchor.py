"""A proxy per product pulls all its images and pushes all others, the hard ones most.

Source: Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020, equation 4.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.learn.losses import pairs


class ProxyAnchor(nn.Module):
    """Compares every image with every proxy: no sampler is needed, cost is B x C."""

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 100.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, alpha: float = 32.0, margin: float = 0.1, normalize: bool = True
    ) -> None:
        super().__init__()
        self.alpha, self.margin, self.normalize = alpha, margin, normalize
        self.proxies = nn.Parameter(torch.empty(num_labels, embedding_dim))
        nn.init.kaiming_normal_(self.proxies, mode="fan_out")

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Mean over proxies of how badly their images are placed: (B, D), (B,) -> scalar >= 0."""
        images = pairs.prepare(embeddings, normalize=self.normalize)
        proxies = pairs.prepare(self.proxies, normalize=self.normalize)
        similarity = pairs.similarity(proxies, images)  # (C, B)
        own = torch.arange(len(proxies), device=labels.device)[:, None] == labels[None, :]  # (C, B)
        pull = pairs.log1p_sum_exp(-self.alpha * (similarity - self.margin), own)  # (C,)
        push = pairs.log1p_sum_exp(self.alpha * (similarity + self.margin), ~own)  # (C,)
        return pairs.mean(pull, own.any(-1)) + push.mean()


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
