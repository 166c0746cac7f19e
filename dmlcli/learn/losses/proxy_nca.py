"""Nearest-neighbor choice among one proxy for each product; the own proxy is not among the rivals.

Formula: mean over images of |x - p_y|^2 + ln(sum over c != y of exp(-|x - p_c|^2)), x and p of length scale
Use: no sampler, cheap; proxy-nca-pp and proxy-anchor learn better.
Published: BN-Inception 64: CUB 49.2, Cars 73.2, SOP 73.7 (paper)
Compared: euwern/proxynca_pp equal; ronekko/deep_metric_learning equal
Source: Movshovitz-Attias et al., No Fuss Distance Metric Learning using Proxies, ICCV 2017, equation 4.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss


class ProxyNca(Loss):
    """Can be negative: the own proxy may be nearer than all the others together.

    Settings:
        scale: length that embeddings and proxies are scaled to
        normalize: scale embeddings and proxies to unit length first
    Parameters:
        proxies: (C, D)
    """

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 50.0

    def __init__(self, num_labels: int, embedding_dim: int, *, scale: float = 3.0, normalize: bool = True) -> None:
        super().__init__(num_labels, embedding_dim)
        self.scale, self.normalize = scale, normalize
        self.proxies = proxies.start(num_labels, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar; 0 where there is only one label."""
        images = pairwise.prepare(embeddings, normalize=self.normalize) * self.scale
        centers = pairwise.prepare(self.proxies, normalize=self.normalize) * self.scale
        if len(centers) == 1:
            return images.sum() * 0 + centers.sum() * 0

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            # -|x - p|^2 without |x|^2, which the own proxy and the rivals have in common
            logits = pairwise.similarity(2 * images, centers) - centers.square().sum(-1)  # (B, C)
            rivals = logits.scatter(1, labels[:, None], pairwise.EMPTY).logsumexp(-1)  # (B,)
            return rivals - logits.gather(1, labels[:, None])[:, 0]

        return proxies.by_slices(surprise, images, labels, len(centers)).mean()


def definition(loss: ProxyNca, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 4 with loops."""
    x, p = loss.scale * F.normalize(embeddings), loss.scale * F.normalize(loss.proxies)
    total = embeddings.sum() * 0
    for image, y in zip(x, labels.tolist(), strict=True):
        squared = [(image - proxy).square().sum() for proxy in p]
        rivals = [torch.exp(-d) for c, d in enumerate(squared) if c != y]
        total = total + squared[y] + torch.log(torch.stack(rivals).sum())
    return total / len(x)
