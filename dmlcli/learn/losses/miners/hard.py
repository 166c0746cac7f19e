"""For each anchor its farthest positive and nearest negative.

Rule: argmax over P of d and argmin over N of d, for anchors that have both.
Compared: pytorch-metric-learning equal; open-metric-learning equal on unit vectors
Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017, equation 5 (batch hard).
"""

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Masks, Miner, PairSets


class Hard(Miner):
    """One pair of each kind for an anchor; of equal ones the first."""

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks:
        """Keep the hardest pairs."""
        farthest, nearest, valid = selection.batch_hard(pairwise.squared_distance(images, others), positive, negative)
        near, far = torch.zeros_like(positive), torch.zeros_like(negative)
        return near.scatter(1, farthest[:, None], valid[:, None]), far.scatter(1, nearest[:, None], valid[:, None])


def definition(miner: Hard, x: Tensor, labels: Tensor) -> PairSets:
    """Apply the rule anchor by anchor."""
    near, far = PairSets(set(), set())
    for i in range(len(x)):
        distance = [float((x[i] - other).norm()) for other in x]
        positives = [j for j in range(len(x)) if j != i and labels[j] == labels[i]]
        negatives = [j for j in range(len(x)) if labels[j] != labels[i]]
        if positives and negatives:
            near.add((i, max(positives, key=distance.__getitem__)))
            far.add((i, min(negatives, key=distance.__getitem__)))
    return PairSets(near, far)
