"""Pairs beyond a margin: far positives and near negatives.

Rule: positives with d > pos_margin, negatives with d < neg_margin.
Compared: pytorch-metric-learning equal
Source: pytorch-metric-learning, PairMarginMiner.
"""

from torch import Tensor

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.miners.interface import Masks, Miner, PairSets


class PairMargin(Miner):
    """Margins are distances.

    Settings:
        pos_margin: positives nearer than this are left out
        neg_margin: negatives farther than this are left out
    """

    def __init__(self, *, pos_margin: float = 0.2, neg_margin: float = 0.8) -> None:
        super().__init__()
        self.pos_margin, self.neg_margin = pos_margin, neg_margin

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks:
        """Keep the pairs beyond their margin."""
        distance = pairwise.root(pairwise.squared_distance(images, others))  # (B, Q)
        return positive & (distance > self.pos_margin), negative & (distance < self.neg_margin)


def definition(miner: PairMargin, x: Tensor, labels: Tensor) -> PairSets:
    """Apply the rule pair by pair."""
    near, far = PairSets(set(), set())
    for i in range(len(x)):
        for j in range(len(x)):
            distance = float((x[i] - x[j]).norm())
            if i != j and labels[i] == labels[j] and distance > miner.pos_margin:
                near.add((i, j))
            if labels[i] != labels[j] and distance < miner.neg_margin:
                far.add((i, j))
    return PairSets(near, far)
