"""For each anchor its nearest positive, and one negative.

Rule: (a, p, n) with p = argmin of d_ap and, among the negatives, n = argmin of d_an (hard), or of d_an over d_an > d_ap
    (semi-hard), or argmax of d_an (easy).
Compared: pytorch-metric-learning equal
Source: Xuan et al., Improved Embeddings with Easy Positive Triplet Mining, WACV 2020, sections 3.2 and 3.3.
"""

from typing import Literal

import torch
from torch import Tensor

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.miners.interface import Miner, TripletSet


class EasyPositive(Miner):
    """One triplet for each anchor; a semi-hard one only where a negative is farther than the positive.

    Settings:
        negatives: which negative goes with the positive
    """

    def __init__(self, *, negatives: Literal["semi-hard", "hard", "easy"] = "semi-hard") -> None:
        super().__init__()
        self.negatives = negatives

    def select(self, images: Tensor, others: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Keep a triplet for each anchor."""
        distance = pairwise.squared_distance(images, others)  # (B, Q)
        to_nearest, nearest = distance.masked_fill(~positive, torch.inf).min(-1, keepdim=True)  # (B, 1)
        allowed = negative & (distance > to_nearest) if self.negatives == "semi-hard" else negative
        if self.negatives == "easy":
            rival = distance.masked_fill(~allowed, -torch.inf).argmax(-1)  # (B,)
        else:
            rival = distance.masked_fill(~allowed, torch.inf).argmin(-1)
        valid = positive.any(-1) & allowed.any(-1)  # (B,)
        return torch.stack([torch.arange(len(images), device=images.device), nearest[:, 0], rival], dim=-1)[valid]


def definition(miner: EasyPositive, x: Tensor, labels: Tensor) -> TripletSet:
    """Apply the rule anchor by anchor."""
    found = set()
    for a in range(len(x)):
        distance = [float((x[a] - other).norm()) for other in x]
        positives = [p for p in range(len(x)) if p != a and labels[p] == labels[a]]
        nearest = min(positives, key=distance.__getitem__, default=-1)
        negatives = [n for n in range(len(x)) if labels[n] != labels[a]]
        if miner.negatives == "semi-hard" and positives:
            negatives = [n for n in negatives if distance[n] > distance[nearest]]
        if positives and negatives:
            pick = max if miner.negatives == "easy" else min
            found.add((a, nearest, pick(negatives, key=distance.__getitem__)))
    return found
