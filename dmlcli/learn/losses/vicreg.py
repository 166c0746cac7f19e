"""Two images of a product must agree, while every entry varies over the batch and no two entries say the same.

Formula: invariance * mean of |x_i - x_i+|^2 / D + variance * mean over entries of [1 - std(x)]+ / 2 + the same of x+
    + covariance * sum over entries k != l of cov_kl(x)^2 / D + the same of x+; std = sqrt(var + eps)
Use: needs no negatives and no margin; many products with two images each a batch.
Compared: pytorch-metric-learning equal for the same two views
Source: Bardes et al., VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning, ICLR 2022,
    equations 1 to 6.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.interface import Loss, check_above


class Vicreg(Loss):
    """Uses the first two images of each label in batch order, in place of the paper's two views of one image.

    Settings:
        invariance: weight of the squared distance of the two images
        variance: weight of the hinge on the standard deviation of each entry
        covariance: weight of the squared covariances of different entries
        eps: added to variances, so that the slope of their square root is finite
        normalize: scale embeddings to unit length first; their entries then deviate by at most 1 / sqrt(D)
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "n-pair"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        eps: float = 1e-4,
        normalize: bool = False,
    ) -> None:
        check_above(0, eps=eps)
        super().__init__(num_labels, embedding_dim)
        self.invariance, self.variance, self.covariance, self.eps = invariance, variance, covariance, eps
        self.normalize = normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the sum of the three parts over the n labels that have two images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        first, second = selection.first_two(labels)  # (n,) each
        if len(first) == 0:
            return images.sum() * 0
        views = images[first], images[second]  # (n, D) each
        agreement = self.invariance * (views[0] - views[1]).square().mean()
        return agreement + self._spread(views[0]) + self._spread(views[1])

    def _spread(self, view: Tensor) -> Tensor:
        """Return the variance and the covariance part of one view (n, D)."""
        centered = view - view.mean(0)
        covariance = pairwise.similarity(centered.T, centered.T) / max(len(view) - 1, 1)  # (D, D)
        variance = covariance.diagonal()
        hinge = F.relu(1 - (variance + self.eps).sqrt()).mean() / 2
        redundancy = (covariance - variance.diag()).square().sum() / len(covariance)
        return self.variance * hinge + self.covariance * redundancy


def definition(loss: Vicreg, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 1 to 6 with loops."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    rows: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        rows.setdefault(label, []).append(row)
    couples = [members for members in rows.values() if len(members) > 1]
    total = embeddings.sum() * 0
    if not couples:
        return total
    dim, count = x.shape[1], len(couples)
    for members in couples:
        total = total + loss.invariance * (x[members[0]] - x[members[1]]).square().sum() / (count * dim)
    for side in (0, 1):
        view = torch.stack([x[members[side]] for members in couples])
        centered = view - view.mean(0)
        for k in range(dim):
            for other in range(dim):
                covariance = (centered[:, k] * centered[:, other]).sum() / max(count - 1, 1)
                if k == other:
                    total = total + loss.variance * F.relu(1 - torch.sqrt(covariance + loss.eps)) / (2 * dim)
                else:
                    total = total + loss.covariance * covariance**2 / dim
    return total
