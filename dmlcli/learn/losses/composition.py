"""Losses made of losses: a weighted sum, as of `softmax+0.5*triplet`, over what a miner selects, or of two views."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from dmlcli.learn.losses import SAMPLERS
from dmlcli.learn.losses.interface import Loss
from dmlcli.learn.losses.miners.interface import Miner


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


class Mined(Loss):
    """A loss over the pairs or triplets that a miner selects in each batch: what `contrastive:miner=all` becomes."""

    family: ClassVar[str] = "mined"
    sampler: ClassVar[str] = "pk"
    learning_rate_factor: ClassVar[float] = 1.0  # the loss keeps its own pace

    def __init__(self, loss: Loss, miner: Miner) -> None:
        super().__init__(loss.num_labels, loss.embedding_dim)
        self.loss, self.miner = loss, miner
        self.takes_references = loss.takes_references  # type: ignore[misc]

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of what the miner selects: (B, D), (B,), [(Q, D), (Q,)] -> scalar."""
        selected = self.miner(embeddings, labels, references, reference_labels)
        key = "pairs" if isinstance(selected, tuple) else "triplets"
        value: Tensor = self.loss(embeddings, labels, references, reference_labels, **{key: selected})
        return value


class SelfSupervised(nn.Module):
    """A loss without labels: two views of one image are a positive pair, views of different images are negative ones.

    Args:
        loss: over pairs or triplets, e.g. `losses.build("nt-xent", num_labels, embedding_dim)`.

    Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__()
        if next(loss.parameters(), None) is not None:
            raise ValueError(f"{type(loss).__name__} learns one parameter for each label: views have no labels")
        self.loss = loss

    def forward(self, views: Tensor, other_views: Tensor) -> Tensor:
        """Return the loss of two views (B, D) of the same images in the same order: a scalar."""
        if views.shape != other_views.shape:
            raise ValueError(f"views must have the same shape, not {tuple(views.shape)} and {tuple(other_views.shape)}")
        images = torch.arange(len(views), device=views.device)
        value: Tensor = self.loss(torch.cat([views, other_views]), torch.cat([images, images]))
        return value
