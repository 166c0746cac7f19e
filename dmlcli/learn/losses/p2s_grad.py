"""Classification by cosine without scale or margin: 1 to the own product's weight, 0 to all others.

Formula: mean over images and labels c of (cos(theta_c) - [c = y])^2
Use: a classifier with nothing to tune; its gradients fade with many products, as the mean runs over all of them.
Compared: pytorch-metric-learning equal
Source: Zhang et al., P2SGrad: Refined Gradients for Optimizing Deep Face Models, CVPR 2019, equation 11;
    the paper gives the gradient, and this is its integral.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss


class P2sGrad(Loss):
    """Squared errors of the cosines to one weight vector for each label.

    Settings:
        normalize: scale embeddings and weights to unit length first
    Parameters:
        weight: (C, D)
    """

    family: ClassVar[str] = "classifier"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 50.0

    def __init__(self, num_labels: int, embedding_dim: int, *, normalize: bool = True) -> None:
        super().__init__(num_labels, embedding_dim)
        self.normalize = normalize
        self.weight = proxies.start(num_labels, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images and labels: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        weight = pairwise.prepare(self.weight, normalize=self.normalize)

        def error(images: Tensor, labels: Tensor) -> Tensor:
            cosine = pairwise.similarity(images, weight)  # (B, C)
            own = cosine.gather(1, labels[:, None])[:, 0]  # (B,)
            return cosine.square().mean(-1) + (1 - 2 * own) / len(weight)  # (1 - s)^2 = s^2 + 1 - 2 s

        return proxies.by_slices(error, images, labels, len(weight)).mean()


def definition(loss: P2sGrad, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula entry by entry."""
    x, weight = F.normalize(embeddings), F.normalize(loss.weight)
    errors = [(x[i] @ weight[c] - float(labels[i] == c)) ** 2 for i in range(len(x)) for c in range(len(weight))]
    return torch.stack(errors).mean()
