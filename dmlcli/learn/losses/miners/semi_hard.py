"""For each positive pair the nearest negative that is farther than the positive.

Rule: (a, p, n) with n = argmin of d_an over d_an > d_ap, or the farthest negative where none is farther.
Source: Schroff et al., FaceNet, CVPR 2015.
"""

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.miners.interface import Miner, TripletSet


class SemiHard(Miner):
    """One triplet for each positive pair of an anchor that has negatives."""

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Keep a triplet for each positive pair."""
        distance = pairwise.squared_distance(images, others)  # (B, Q)
        columns, real = pairwise.compact(positive & negative.any(-1, keepdim=True))  # (B, K)
        rivals = selection.next_farther(distance, negative, distance.gather(1, columns))  # (B, K)
        anchors = torch.arange(len(images), device=images.device)[:, None].expand_as(columns)
        return torch.stack([anchors, columns, rivals], dim=-1)[real]


def definition(miner: SemiHard, x: Tensor, labels: Tensor) -> TripletSet:
    """Apply the rule pair by pair."""
    found = set()
    for a in range(len(x)):
        distance = [float((x[a] - other).norm()) for other in x]
        negatives = [n for n in range(len(x)) if labels[n] != labels[a]]
        for p in range(len(x)):
            if p != a and labels[p] == labels[a] and negatives:
                farther = [n for n in negatives if distance[n] > distance[p]]
                pick, among = (min, farther) if farther else (max, negatives)
                found.add((a, p, pick(among, key=distance.__getitem__)))
    return found
