"""The hardest share of all pairs in the batch.

Rule: of all positive pairs the `share` with the largest d, of all negative pairs that with the smallest d; pairs as far
    apart as the last one that is kept are kept too.
Compared: pytorch-metric-learning differs: it may keep a pair without its reverse
Source: Yuan et al., Hard-Aware Deeply Cascaded Embedding, ICCV 2017, section 3.2.
"""

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.miners.interface import Masks, Miner, PairSets


class Hdc(Miner):
    """The share is of the whole batch, so that an anchor may keep all its pairs or none.

    Settings:
        share: share of the pairs of each kind that is kept, above 0 and at most 1
    """

    def __init__(self, *, share: float = 0.5) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {share}")
        super().__init__()
        self.share = share

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks:
        """Keep the hardest share of each kind."""
        distance = pairwise.squared_distance(images, others)  # (B, Q)
        if images is others:
            distance = (distance + distance.T) / 2  # rounding may make a pair differ from itself in the other order
        return self._hardest(-distance, positive), self._hardest(distance, negative)

    def _hardest(self, distance: Tensor, mask: Tensor) -> Tensor:
        """Return which masked entries (B, Q) are among the smallest, with all that equal the last of them."""
        values = distance[mask].sort().values
        count = int(self.share * len(values))
        return mask & (distance <= values[count - 1]) if count else torch.zeros_like(mask)


def definition(miner: Hdc, x: Tensor, labels: Tensor) -> PairSets:
    """Sort all pairs."""

    def hardest(same: bool) -> set[tuple[int, int]]:
        sign = -1 if same else 1
        values = {
            (i, j): sign * float((x[i] - x[j]).norm())
            for i in range(len(x))
            for j in range(len(x))
            if i != j and bool(labels[i] == labels[j]) == same
        }
        count = int(miner.share * len(values))
        return {pair for pair, value in values.items() if count and value <= sorted(values.values())[count - 1]}

    return PairSets(hardest(True), hardest(False))
