"""Every image must recognize its own product in the batch, itself included: a classifier without weights.

Formula: mean over images i of
    ln(sum over all j of exp(gamma s_j)) - ln(sum over j of the same product of exp(gamma s_j)), both with j = i
Use: as a part of a sum: it spreads products apart, but itself being the best match, it hardly pulls images together.
Compared: pytorch-metric-learning equal where every image has its own label, else differs: it takes the number of a
    label for a row of the batch
Source: Zheng et al., Dual-Path Convolutional Image-Text Embeddings with Instance Loss, ACM TOMM 2020; the form without
    weights is that of the authors' code, where each image is a product of its own.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class Instance(Loss):
    """A softmax over the similarities to all images of the batch.

    Settings:
        gamma: sharpness of the softmax
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, gamma: float = 64.0, normalize: bool = True) -> None:
        super().__init__(num_labels, embedding_dim)
        self.gamma, self.normalize = gamma, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        _, negative = pairwise.masks(labels)
        logits = self.gamma * pairwise.similarity(images, images)  # (B, B)
        rivals, own = pairwise.logsumexp(logits, negative), pairwise.logsumexp(logits, ~negative)  # (B,) each
        return F.softplus(rivals - own).mean()


def definition(loss: Instance, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula image by image."""
    x = F.normalize(embeddings)
    total = embeddings.sum() * 0
    for i in range(len(x)):
        terms = [torch.exp(loss.gamma * (x[i] @ x[j] - 1)) for j in range(len(x))]
        own = [terms[j] for j in range(len(x)) if labels[j] == labels[i]]
        total = total - torch.log(torch.stack(own).sum() / torch.stack(terms).sum())
    return total / len(x)
