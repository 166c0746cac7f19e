"""A weighted sum of losses, itself a loss: what `softmax+0.5*triplet` becomes."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dmlcli.learn.losses import SAMPLERS


class WeightedSum(nn.Module):
    """Needs the strictest sampler of its losses, and takes references only where all of them do.

    It has no parameters itself: those of each loss keep their own pace.
    """

    family: ClassVar[str] = "sum"
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, terms: list[tuple[float, nn.Module]]) -> None:
        super().__init__()
        self.weights = [weight for weight, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)
        facts: list[Any] = list(self.losses)
        self.sampler: str = max((loss.sampler for loss in facts), key=SAMPLERS.index)
        self.takes_references: bool = all(loss.takes_references for loss in facts)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """The weighted sum: (B, D), (B,), [(Q, D), (Q,)] -> scalar."""
        values = (loss(embeddings, labels, references, reference_labels) for loss in self.losses)
        return torch.stack([w * value for w, value in zip(self.weights, values, strict=True)]).sum()
