"""For each anchor its farthest positives and nearest negatives.

Rule: the `positives` largest d over P and the `negatives` smallest d over N, for anchors that have both.
Compared: open-metric-learning equal on unit vectors
Source: Shabanov et al., OpenMetricLearning, 2021 (its miner of n hard triplets).
"""

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Masks, Miner, PairSets


class TopN(Miner):
    """As many of each kind as there are, where an anchor has fewer; a generalization of the hard miner.

    Settings:
        positives: positives of an anchor, at least 1
        negatives: negatives of an anchor, at least 1
    """

    def __init__(self, *, positives: int = 1, negatives: int = 5) -> None:
        if min(positives, negatives) < 1:
            raise ValueError(f"positives and negatives must be at least 1, not {positives} and {negatives}")
        super().__init__()
        self.positives, self.negatives = positives, negatives

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks:
        """Keep the hardest pairs of each anchor."""
        distance = pairwise.squared_distance(images, others)  # (B, Q)
        valid = positive.any(-1, keepdim=True) & negative.any(-1, keepdim=True)  # (B, 1)
        far = self._first(-distance, positive & valid, self.positives)
        return far, self._first(distance, negative & valid, self.negatives)

    def _first(self, distance: Tensor, mask: Tensor, count: int) -> Tensor:
        order = selection.nearest_first(distance, mask)[:, :count]  # (B, count)
        return torch.zeros_like(mask).scatter(1, order, True) & mask


def definition(miner: TopN, x: Tensor, labels: Tensor) -> PairSets:
    """Apply the rule anchor by anchor."""
    near, far = PairSets(set(), set())
    for i in range(len(x)):
        distance = [float((x[i] - other).norm()) for other in x]
        positives = [j for j in range(len(x)) if j != i and labels[j] == labels[i]]
        negatives = [j for j in range(len(x)) if labels[j] != labels[i]]
        if positives and negatives:
            ordered = sorted(positives, key=distance.__getitem__, reverse=True)
            near |= {(i, j) for j in ordered[: miner.positives]}
            far |= {(i, j) for j in sorted(negatives, key=distance.__getitem__)[: miner.negatives]}
    return PairSets(near, far)
