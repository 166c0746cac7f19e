"""An image must be closer to its own product than to another by a margin.

Formula: mean over mined (a, p, n) of max(0, D_ap - D_an + margin), D the squared distance;
    soft: ln(1 + exp(...)) in place of the hinge
Use: the classic of face and person retrieval; semi-hard is stable, batch-hard is stronger once training is under way.
Published: semi-hard, GoogLeNet 64: CUB 42.6, Cars 51.5, SOP 66.7 (Song 2017†)
Source: Schroff et al., FaceNet, CVPR 2015 (semi-hard); Hermans et al., In Defense of the Triplet Loss, 2017
    (batch-hard).
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.interface import Loss


class Triplet(Loss):
    """Mining says which triplets count.

    semi-hard is, for each positive pair, the nearest negative that is farther than the positive, else the farthest one;
    semi-hard-all every negative farther than the positive by less than the margin; batch-hard, for each anchor, its
    farthest positive and nearest negative; batch-all every triplet.

    Settings:
        mining: semi-hard, semi-hard-all, batch-hard or batch-all
        margin: how much farther than the positive the negative shall be
        squared: squared distances
        soft: a softplus in place of the hinge, so that no triplet is ever done
        reduction: mean over all mined triplets or over those that violate (nonzero); left out, nonzero for the -all and
            for the triplets of a miner
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "triplet"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        mining: Literal["semi-hard", "semi-hard-all", "batch-hard", "batch-all"] = "semi-hard",
        margin: float = 0.2,
        squared: bool = True,
        soft: bool = False,
        reduction: Literal["mean", "nonzero"] | None = None,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.mining, self.margin, self.squared, self.soft, self.normalize = mining, margin, squared, soft, normalize
        self.reduction = reduction or ("nonzero" if mining.endswith("all") else "mean")
        self.reduction_of_given = reduction or "nonzero"

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
        triplets: Tensor | None = None,
    ) -> Tensor:
        """Return the mean violation of the triplets, mined or given: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        distance = pairwise.squared_distance(images, others)  # (B, Q)
        if not self.squared:
            distance = pairwise.root(distance)
        if triplets is not None:
            anchor, near, far = triplets.unbind(-1)  # (T,) each
            violation = self._violation(distance[anchor, near] - distance[anchor, far])
            return self._reduce(violation, torch.ones_like(anchor, dtype=torch.bool), self.reduction_of_given)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        mining = "batch-all" if pairs else self.mining
        if mining == "batch-hard":
            return self._hardest(distance, positive, negative)
        columns, valid = pairwise.compact(positive)  # (B, K)
        valid = valid & negative.any(-1, keepdim=True)
        to_positive = distance.gather(1, columns)  # (B, K)
        if mining == "semi-hard":
            rivals = selection.next_farther(distance, negative, to_positive)  # (B, K)
            return self._reduce(self._violation(to_positive - distance.gather(1, rivals)), valid, self.reduction)
        count_all = self._sum_soft if self.soft else self._sum_hinge
        total, active = count_all(distance, negative, to_positive, valid, mining)
        if (self.reduction_of_given if pairs else self.reduction) == "mean":
            active = (valid * negative.sum(-1, keepdim=True)).sum()
        return total / active.clamp_min(1)

    def _violation(self, gap: Tensor) -> Tensor:
        return F.softplus(gap + self.margin) if self.soft else F.relu(gap + self.margin)

    def _reduce(self, violation: Tensor, valid: Tensor, reduction: str) -> Tensor:
        return pairwise.mean(violation, valid & (violation > 0) if reduction == "nonzero" else valid)

    def _hardest(self, distance: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        farthest, nearest, valid = selection.batch_hard(distance.detach(), positive, negative)  # (B,)
        to_farthest, to_nearest = (distance.gather(1, column[:, None])[:, 0] for column in (farthest, nearest))
        return self._reduce(self._violation(to_farthest - to_nearest), valid, self.reduction)

    def _sum_hinge(
        self, distance: Tensor, negative: Tensor, to_positive: Tensor, valid: Tensor, mining: str
    ) -> tuple[Tensor, Tensor]:
        """Sum and number of violated triplets by sorting each row once: memory B x Q, however many there are."""
        order = selection.nearest_first(distance, negative)
        ordered = distance.masked_fill(~negative, torch.inf).gather(1, order).detach()  # (B, Q)
        last = torch.searchsorted(ordered, (to_positive + self.margin).detach())  # (B, K): negatives that violate
        first = torch.zeros_like(last)
        if mining == "semi-hard-all":
            first = torch.searchsorted(ordered, to_positive.detach(), right=True)
        wide = torch.float32 if distance.device.type == "mps" else torch.float64  # MPS has no float64
        sums = F.pad(distance.gather(1, order).cumsum(-1, dtype=wide), (1, 0))  # (B, Q + 1)
        count = (last - first).clamp_min(0) * valid
        violation = count * (to_positive + self.margin) - (sums.gather(1, last) - sums.gather(1, first)) * (count > 0)
        return violation.sum().to(distance.dtype), count.sum()

    def _sum_soft(
        self, distance: Tensor, negative: Tensor, to_positive: Tensor, valid: Tensor, mining: str
    ) -> tuple[Tensor, Tensor]:
        """Return the same with softplus, one positive of each anchor at a time, recomputed in the backward pass."""
        total, active = distance.sum() * 0, valid.sum() * 0

        def one(distance: Tensor, positive_distance: Tensor, counted: Tensor) -> Tensor:
            return torch.where(counted, self._violation(positive_distance - distance), 0.0).sum()

        for k in range(to_positive.shape[1]):
            here = to_positive[:, k : k + 1]  # (B, 1)
            counted = negative & valid[:, k : k + 1]  # (B, Q)
            if mining == "semi-hard-all":
                counted = counted & (distance > here) & (distance <= here + self.margin)
            partial = checkpoint(one, distance, here, counted, use_reentrant=False)
            total, active = total + partial, active + counted.sum()
        return total, active


def definition(loss: Triplet, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula triplet by triplet."""
    x = F.normalize(embeddings)
    rows = range(len(x))

    def distance(i: int, j: int) -> Tensor:
        squared = (x[i] - x[j]).square().sum()
        return squared if loss.squared else squared.sqrt()

    def violation(i: int, p: int, n: int) -> Tensor:
        gap = distance(i, p) - distance(i, n) + loss.margin
        return F.softplus(gap) if loss.soft else F.relu(gap)

    values: list[Tensor] = []
    for i in rows:
        near = {j: float(distance(i, j).detach()) for j in rows}
        positives = [j for j in rows if j != i and labels[j] == labels[i]]
        negatives = [j for j in rows if labels[j] != labels[i]]
        if not positives or not negatives:
            continue
        if loss.mining == "batch-hard":
            values.append(violation(i, max(positives, key=near.__getitem__), min(negatives, key=near.__getitem__)))
            continue
        for p in positives:
            farther = [n for n in negatives if near[n] > near[p]]
            if loss.mining == "semi-hard":
                rival = min(farther, key=near.__getitem__) if farther else max(negatives, key=near.__getitem__)
                values.append(violation(i, p, rival))
            elif loss.mining == "semi-hard-all":
                values += [violation(i, p, n) for n in farther if near[n] <= near[p] + loss.margin]
            else:
                values += [violation(i, p, n) for n in negatives]
    if loss.reduction == "nonzero":
        values = [value for value in values if value > 0]
    return torch.stack(values).mean() if values else embeddings.sum() * 0
