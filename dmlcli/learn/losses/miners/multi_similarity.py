"""Pairs that are harder than the hardest of the other kind, less a tolerance.

Rule: positives with s - epsilon < max over N of s, negatives with s + epsilon > min over P of s.
Compared: pytorch-metric-learning equal
Source: Wang et al., Multi-Similarity Loss with General Pair Weighting, CVPR 2019, equations 7 and 8.
"""

import math

from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Masks, Miner, PairSets


class MultiSimilarity(Miner):
    """An anchor without positives or without negatives keeps no pair.

    Settings:
        epsilon: tolerance, in cosine similarity
    """

    def __init__(self, *, epsilon: float = 0.1) -> None:
        super().__init__()
        self.epsilon = epsilon

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks:
        """Keep the pairs that are hard for their anchor."""
        similarity = pairwise.similarity(images, others)  # (B, Q)
        return selection.multi_similarity_pairs(similarity, positive, negative, self.epsilon)


def definition(miner: MultiSimilarity, x: Tensor, labels: Tensor) -> PairSets:
    """Apply the rule anchor by anchor."""
    near, far = PairSets(set(), set())
    for i in range(len(x)):
        similarity = [float(x[i] @ other) for other in x]
        positives = [j for j in range(len(x)) if j != i and labels[j] == labels[i]]
        negatives = [j for j in range(len(x)) if labels[j] != labels[i]]
        closest = max((similarity[j] for j in negatives), default=-math.inf)
        farthest = min((similarity[j] for j in positives), default=math.inf)
        near |= {(i, j) for j in positives if similarity[j] - miner.epsilon < closest}
        far |= {(i, j) for j in negatives if similarity[j] + miner.epsilon > farthest}
    return PairSets(near, far)
