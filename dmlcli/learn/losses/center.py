"""Pulls every image to the learned center of its product; pushes nothing apart.

Formula: mean over images of |x - c_y|^2
Use: only in a sum with a loss that separates products: softmax+0.0005*center.
Source: Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016,
    equation 2, not halved.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss


class Center(Loss):
    """Raw embeddings and centers; alone it lets all products collapse into one point.

    Settings:
        normalize: scale embeddings to unit length first; the centers stay as they are
    Parameters:
        centers: (C, D)
    """

    family: ClassVar[str] = "classifier"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 10.0

    def __init__(self, num_labels: int, embedding_dim: int, *, normalize: bool = False) -> None:
        super().__init__(num_labels, embedding_dim)
        self.normalize = normalize
        self.centers = proxies.start(num_labels, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        centers = pairwise.prepare(self.centers, normalize=False)
        return (images - centers[labels]).square().sum(-1).mean()


def definition(loss: Center, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula image by image."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    return torch.stack([(x[i] - loss.centers[labels[i]]).square().sum() for i in range(len(x))]).mean()
