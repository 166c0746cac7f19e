"""Plain classification: a linear layer and cross entropy, with a little doubt about the labels.

Formula: cross entropy of w_c . x + b_c against (1 - label_smoothing) [c = y] + label_smoothing / C
Use: the baseline, and the steady half of a sum: softmax+triplet.
Compared: torch.nn.functional.cross_entropy equal; KaiyangZhou/deep-person-reid equal
Source: Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, section 7 (label smoothing).
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss, check_between


class Softmax(Loss):
    """A classifier that is thrown away after training; its input is what is kept.

    Settings:
        label_smoothing: share of the target that is spread over all labels, 0 to 1
        normalize: scale embeddings and weights to unit length first
    Parameters:
        weight: (C, D)
        bias: (C,)
    """

    family: ClassVar[str] = "classifier"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, label_smoothing: float = 0.1, normalize: bool = False
    ) -> None:
        check_between(0, 1, label_smoothing=label_smoothing)
        super().__init__(num_labels, embedding_dim)
        self.label_smoothing, self.normalize = label_smoothing, normalize
        self.weight = proxies.start(num_labels, embedding_dim)
        self.bias = nn.Parameter(torch.zeros(num_labels))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        weight = pairwise.prepare(self.weight, normalize=self.normalize)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            logits = pairwise.similarity(images, weight) + self.bias  # (B, C)
            return F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)

        return proxies.by_slices(surprise, images, labels, len(weight)).mean()


def definition(loss: Softmax, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula image by image."""
    total, count = embeddings.sum() * 0, len(loss.weight)
    for image, y in zip(embeddings, labels.tolist(), strict=True):
        terms = torch.stack([torch.exp(image @ w + b) for w, b in zip(loss.weight, loss.bias, strict=True)])
        for c, probability in enumerate(terms / terms.sum()):
            target = (1 - loss.label_smoothing) * (c == y) + loss.label_smoothing / count
            total = total - target * torch.log(probability)
    return total / len(embeddings)
