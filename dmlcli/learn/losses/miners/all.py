"""Every pair, and so every triplet.

Rule: all positive and all negative pairs.
Compared: pytorch-metric-learning equal (a loss without a miner); open-metric-learning equal
Source: Hermans et al., In Defense of the Triplet Loss for Person Re-Identification, 2017 (batch all).
"""

from torch import Tensor

from dmlcli.learn.losses.miners.interface import Masks, Miner, PairSets


class All(Miner):
    """Selects nothing away: what a loss without mining of its own does."""

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Masks:
        """Keep all pairs."""
        return positive, negative


def definition(miner: All, x: Tensor, labels: Tensor) -> PairSets:
    """Return the pairs with loops."""
    rows = range(len(x))
    positives = {(i, j) for i in rows for j in rows if i != j and labels[i] == labels[j]}
    return PairSets(positives, {(i, j) for i in rows for j in rows if labels[i] != labels[j]})
