"""A penalty on the length of embeddings, for losses that do not fix it.

Formula: mean over images of |x|_p^power
Use: only in a sum, with a loss of raw dot products: n-pair:l2_reg=0+0.01*embedding-norm.
Compared: pytorch-metric-learning equal (LpRegularizer)
Source: Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NeurIPS 2016, section 3.2.2.
"""

from typing import ClassVar

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss, check_at_least


class EmbeddingNorm(Loss):
    """Of the batch alone: 0 for references, because with --memory the batch itself is a part of the sum too.

    Settings:
        p: of the norm; 2 is the usual length, 1 the sum of absolute values
        power: of the norm
    """

    family: ClassVar[str] = "regularizer"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, p: float = 2.0, power: float = 1.0) -> None:
        check_at_least(1, p=p, power=power)
        super().__init__(num_labels, embedding_dim)
        self.p, self.power = p, power

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=False)
        if references is not None:
            return images.sum() * 0
        norm: Tensor = torch.linalg.vector_norm(images, ord=self.p, dim=-1)  # (B,)
        return (norm if self.power == 1 else norm**self.power).mean()


def definition(loss: EmbeddingNorm, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula entry by entry."""
    total = embeddings.sum() * 0
    for row in embeddings:
        length = torch.stack([entry.abs() ** loss.p for entry in row]).sum() ** (1 / loss.p)
        total = total + length**loss.power / len(embeddings)
    return total
