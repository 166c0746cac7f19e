"""Triplets of one difficulty.

Rule: with the gap g = d_an - d_ap: all, g <= margin; hard, g <= 0; semi-hard, 0 < g <= margin; easy, g > margin.
Compared: pytorch-metric-learning equal
Source: Schroff et al., FaceNet, CVPR 2015, section 3.2.
"""

from typing import Literal

from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Miner, TripletSet


class TripletMargin(Miner):
    """Every triplet of a difficulty, which can be many: three indices each.

    Settings:
        margin: by how much a negative is farther than the positive in an easy triplet
        difficulty: which triplets are kept
    """

    def __init__(self, *, margin: float = 0.2, difficulty: Literal["all", "hard", "semi-hard", "easy"] = "all") -> None:
        super().__init__()
        self.margin, self.difficulty = margin, difficulty

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Keep the triplets of the difficulty."""
        distance = pairwise.root(pairwise.squared_distance(images, others))  # (B, Q)

        def keep(column: Tensor) -> Tensor:
            gap = distance - distance.gather(1, column[:, None])  # (B, Q)
            if self.difficulty == "easy":
                return gap > self.margin
            below = gap <= (0 if self.difficulty == "hard" else self.margin)
            return below & (gap > 0) if self.difficulty == "semi-hard" else below

        return selection.triplets_where(positive, negative, keep)


def definition(miner: TripletMargin, x: Tensor, labels: Tensor) -> TripletSet:
    """Apply the rule triplet by triplet."""
    found = set()
    for a in range(len(x)):
        distance = [float((x[a] - other).norm()) for other in x]
        for p in range(len(x)):
            for n in range(len(x)):
                gap = distance[n] - distance[p]
                kinds = {
                    "all": gap <= miner.margin,
                    "hard": gap <= 0,
                    "semi-hard": 0 < gap <= miner.margin,
                    "easy": gap > miner.margin,
                }
                if p != a and labels[p] == labels[a] and labels[n] != labels[a] and kinds[miner.difficulty]:
                    found.add((a, p, n))
    return found
