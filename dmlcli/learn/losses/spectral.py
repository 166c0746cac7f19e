"""A penalty on embeddings that use few directions: how far their singular values are from equal ones (rho).

Formula: -ln(r) - mean of ln(s_k / sum of s), s the r = min(B, D) singular values of the embeddings (B, D);
    shares below 1e-6 count as that
Use: only in a sum, for unseen products: supcon+0.05*spectral; batches of more than D images.
Source: Roth et al., Revisiting Training Strategies and Generalization Performance in Deep Metric Learning, ICML 2020,
    where rho, the divergence of equal singular values from the actual ones, predicts how well a model generalizes.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss

_LEAST = 1e-6  # share of a singular value; the logarithm of 0 would outweigh all others


class Spectral(Loss):
    """Of the batch alone: 0 for references, because with --memory the batch itself is a part of the sum too.

    Settings:
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "regularizer"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, normalize: bool = True) -> None:
        super().__init__(num_labels, embedding_dim)
        self.normalize = normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the divergence of equal singular values from those of the batch: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        if references is not None:
            return images.sum() * 0
        values = torch.linalg.svdvals(images)  # (r,)
        shares = values / values.sum().clamp_min(1e-12)
        divergence: Tensor = -math.log(len(values)) - shares.clamp_min(_LEAST).log().mean()
        return divergence


def definition(loss: Spectral, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula value by value, each singular value the root of an eigenvalue of the smaller product."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    values = torch.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x).sqrt()
    total = embeddings.sum() * 0
    for value in values:
        total = total - torch.log((value / values.sum()).clamp_min(_LEAST)) / len(values)
    return total - math.log(len(values))
