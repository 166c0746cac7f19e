"""A weighted sum of losses, itself a loss: what `softmax+0.5*triplet` becomes."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from dmlcli.learn.losses import SAMPLERS
from dmlcli.learn.losses.interface import Loss


class WeightedSum(Loss):
    """Needs the strictest sampler of its losses, and takes references only where all of them do.

    It has no parameters itself: those of each loss keep their own pace.
    """

    family: ClassVar[str] = "sum"
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, terms: list[tuple[float, Loss]]) -> None:
        first = terms[0][1]
        super().__init__(first.num_labels, first.embedding_dim)
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)
        # class variables elsewhere; those of a sum follow from its terms
        self.sampler = max((loss.sampler for _, loss in terms), key=SAMPLERS.index)  # type: ignore[misc]
        self.takes_references = all(loss.takes_references for _, loss in terms)  # type: ignore[misc]

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted sum: (B, D), (B,), [(Q, D), (Q,)] -> scalar."""
        values = (loss(embeddings, labels, references, reference_labels) for loss in self.losses)
        return torch.stack([w * value for w, value in zip(self.weights, values, strict=True)]).sum()
