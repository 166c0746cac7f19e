"""A penalty on the products of a batch whose mean embeddings are close: each is pushed from its nearest neighbor.

Formula: mean over products c of the batch of max over products k != c of cos(m_c, m_k), m the mean embeddings
Use: only in a sum, where products crowd together: proxy-anchor+0.1*center-spread.
Compared: pytorch-metric-learning equal (RegularFaceRegularizer) on the means of a batch
Source: Zhao et al., RegularFace: Deep Face Recognition via Exclusive Regularization, CVPR 2019, equation 5, with the
    means of the batch in place of the weights of a classifier.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class CenterSpread(Loss):
    """Of the batch alone: 0 for references, because with --memory the batch itself is a part of the sum too.

    Settings:
        normalize: scale embeddings to unit length before their means are taken
    """

    family: ClassVar[str] = "regularizer"
    sampler: ClassVar[str] = "pk"
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
        """Return the mean over the products of the batch: (B, D), (B,) -> scalar in [-1, 1]; 0 for a single one."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        products, rows = labels.unique(return_inverse=True)  # type: ignore[no-untyped-call]  # (P,), (B,)
        if references is not None or len(products) < 2:
            return images.sum() * 0
        sums = images.new_zeros(len(products), images.shape[1]).index_add(0, rows, images)  # (P, D)
        centers = pairwise.unit(sums)  # the cosine of means is that of sums
        similarity = pairwise.similarity(centers, centers)  # (P, P)
        itself = torch.eye(len(products), dtype=torch.bool, device=labels.device)
        return similarity.masked_fill(itself, -torch.inf).amax(-1).mean()


def definition(loss: CenterSpread, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula product by product."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    products = sorted(set(labels.tolist()))
    centers = [torch.stack([x[i] for i in range(len(x)) if labels[i] == c]).mean(0) for c in products]
    nearest = []
    for c in range(len(centers)):
        cosines = [F.cosine_similarity(centers[c], centers[k], dim=0) for k in range(len(centers)) if k != c]
        nearest += [torch.stack(cosines).max()] if cosines else []
    return torch.stack(nearest).mean() if nearest else embeddings.sum() * 0
