"""Triplets with a wide angle at the negative.

Rule: (a, p, n) with arctan(d_ap / (2 |x_n - (x_a + x_p) / 2|)) > angle.
Compared: pytorch-metric-learning equal on unit vectors
Source: Wang et al., Deep Metric Learning with Angular Loss, ICCV 2017, equation 4.
"""

import math

from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Miner, TripletSet


class Angular(Miner):
    """The angle is that at the negative of a triangle whose base is the positive pair.

    Settings:
        angle: triplets with a smaller angle are left out, in degrees
    """

    def __init__(self, *, angle: float = 20.0) -> None:
        super().__init__()
        self.angle = angle

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Keep the triplets with a wide angle."""
        tangent = math.tan(math.radians(self.angle))

        def keep(column: Tensor) -> Tensor:
            partners = others[column]  # (B, D)
            base = (images - partners).norm(dim=-1, keepdim=True)  # (B, 1)
            height = pairwise.root(pairwise.squared_distance((images + partners) / 2, others))  # (B, Q)
            wide: Tensor = base > 2 * tangent * height
            return wide

        return selection.triplets_where(positive, negative, keep)


def definition(miner: Angular, x: Tensor, labels: Tensor) -> TripletSet:
    """Apply the rule triplet by triplet."""
    found = set()
    for a in range(len(x)):
        for p in range(len(x)):
            for n in range(len(x)):
                if p != a and labels[p] == labels[a] and labels[n] != labels[a]:
                    height = float((x[n] - (x[a] + x[p]) / 2).norm())
                    angle = math.atan2(float((x[a] - x[p]).norm()), 2 * height)
                    if math.degrees(angle) > miner.angle:
                        found.add((a, p, n))
    return found
