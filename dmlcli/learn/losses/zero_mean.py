"""A penalty that draws the sum of each embedding's entries to zero.

Formula: mean over images of |sum of the entries of x|
Use: only in a sum, with a loss that assumes mean zero: signal-to-noise+0.01*zero-mean.
Compared: pytorch-metric-learning equal (ZeroMeanRegularizer)
Source: Yuan et al., Signal-to-Noise Ratio: A Robust Distance Metric for Deep Metric Learning, CVPR 2019, equation 7.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class ZeroMean(Loss):
    """Of the batch alone: 0 for references, because with --memory the batch itself is a part of the sum too.

    Settings:
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "regularizer"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, normalize: bool = False) -> None:
        super().__init__(num_labels, embedding_dim)
        self.normalize = normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        if references is not None:
            return images.sum() * 0
        return images.sum(-1).abs().mean()


def definition(loss: ZeroMean, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula entry by entry."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    return torch.stack([torch.stack(list(row)).sum().abs() for row in x]).mean()
