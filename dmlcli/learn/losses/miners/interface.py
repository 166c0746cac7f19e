"""What every miner is: a rule that selects pairs or triplets, without a gradient."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dmlcli.learn.losses import pairwise

Masks = tuple[Tensor, Tensor]  # positive and negative pairs, each (B, Q)
TripletSet = set[tuple[int, int, int]]  # what the `definition` of a miner of triplets returns


class PairSets(NamedTuple):
    """What the `definition` of a miner of pairs returns, computed with loops from the rule."""

    positive: set[tuple[int, int]]
    negative: set[tuple[int, int]]


class Miner(nn.Module, ABC):
    """The base of all miners: calling one gives what a loss takes as `pairs` or `triplets`."""

    @torch.no_grad()
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Masks | Tensor:
        """Return masks (positive, negative), each (B, Q), or triplets (T, 3), each a row of indices (a, p, n).

        Args:
            embeddings: (B, D), of any length: miners compare directions.
            labels: (B,) integers.
            references: (Q, D), what the batch is compared with in place of itself.
            reference_labels: (Q,), given with `references`.
        """
        images, others = pairwise.sides(embeddings, references, normalize=True)
        return self.select(images, others, *pairwise.masks(labels, reference_labels))

    @abstractmethod
    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks | Tensor:
        """Apply the rule.

        Args:
            images: (B, D), of unit length.
            others: (Q, D), of unit length.
            positive: (B, Q) mask.
            negative: (B, Q) mask.
        """
