"""For each positive pair a negative that is drawn evenly over all distances.

Rule: P(n given a) proportional to the inverse density of d_an on the unit sphere; negatives beyond nonzero_loss_cutoff
    only where an anchor has no nearer one.
Compared: pytorch-metric-learning differs: other draws
Source: Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017, equations 1 to 3.
"""

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Miner, TripletSet


class DistanceWeighted(Miner):
    """One random triplet for each positive pair.

    Settings:
        cutoff: distances below this are drawn as if they were this
        nonzero_loss_cutoff: distance beyond which negatives are not drawn
    """

    def __init__(self, *, cutoff: float = 0.5, nonzero_loss_cutoff: float = 1.4) -> None:
        super().__init__()
        self.cutoff, self.nonzero_loss_cutoff = cutoff, nonzero_loss_cutoff

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Draw a negative for each positive pair."""
        distance = pairwise.root(pairwise.squared_distance(images, others))  # (B, Q)
        weights = selection.distance_weights(
            distance, negative, images.shape[1], self.cutoff, self.nonzero_loss_cutoff
        )  # (B, Q)
        return selection.draw_negatives(positive, weights)


def definition(miner: DistanceWeighted, x: Tensor, labels: Tensor) -> TripletSet:
    """Draw triplet by triplet, with the same weights: seed it alike to compare."""
    rows = range(len(x))
    apart = torch.stack([torch.stack([(x[i] - x[j]).norm() for j in rows]) for i in rows])
    negative = labels[:, None] != labels[None, :]
    weights = selection.distance_weights(apart, negative, x.shape[1], miner.cutoff, miner.nonzero_loss_cutoff)
    positives = [[p for p in rows if p != a and labels[p] == labels[a] and negative[a].any()] for a in rows]
    most = max(len(some) for some in positives)
    able = torch.tensor([[1.0 if some else 0.0] for some in positives], dtype=weights.dtype)
    drawn = torch.multinomial(torch.where(able > 0, weights, 1.0), max(most, 1), replacement=True).tolist()
    return {(a, p, n) for a in rows for p, n in zip(positives[a], drawn[a], strict=False)}
