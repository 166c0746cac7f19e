"""An image must be closer to its own product than to another by a margin.

Formula: mean over mined (a, p, n) of max(0, D_ap - D_an + margin), D the squared distance or another;
    soft: ln(1 + exp(...)) in place of the hinge; swap: min(D_an, D_pn) in place of D_an
Use: the classic of face and person retrieval; semi-hard is stable, batch-hard is stronger once training is under way.
Published: semi-hard, GoogLeNet 64: CUB 42.6, Cars 51.5, SOP 66.7 (Song 2017†)
Compared: pytorch-metric-learning equal, semi-hard is its miner's with mining=semi-hard-all;
    open-metric-learning equal with distance=euclidean, normalize=false and reduction=mean, its miners for all, hard and
    n-hard triplets, too; KaiyangZhou/deep-person-reid equal (batch-hard) where all images have positives
Source: Schroff et al., FaceNet, CVPR 2015 (semi-hard); Hermans et al., In Defense of the Triplet Loss, 2017
    (batch-hard); Balntas et al., Learning Local Feature Descriptors with Triplets, BMVC 2016 (swap).
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from dmlcli.learn.losses import distances, pairwise, selection
from dmlcli.learn.losses.distances import Distance
from dmlcli.learn.losses.interface import Loss


class Triplet(Loss):
    """Mining says which triplets count.

    semi-hard is, for each positive pair, the nearest negative that is farther than the positive, else the farthest one;
    semi-hard-all every negative farther than the positive by less than the margin; batch-hard, for each anchor, its
    farthest positive and nearest negative; batch-all every triplet. A margin m on cosines is one of 2 m here, and half
    the loss: a squared distance of unit vectors is 2 minus two cosines.

    Settings:
        mining: semi-hard, semi-hard-all, batch-hard or batch-all
        margin: how much farther than the positive the negative shall be
        distance: what is compared; cosine and dot are similarities, whose margin is a gap between similarities
        soft: a softplus in place of the hinge, so that no triplet is ever done
        swap: where the negative is nearer to the positive than to the anchor, take that distance; mining does not
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
        distance: Distance = "squared-euclidean",
        soft: bool = False,
        swap: bool = False,
        reduction: Literal["mean", "nonzero"] | None = None,
        normalize: bool = True,
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.mining, self.margin, self.distance, self.soft, self.swap = mining, margin, distance, soft, swap
        self.normalize = normalize
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
        distance = distances.between(self.distance, images, others)  # (B, Q)
        between = None  # what the positives are compared with the negatives by: (Q, Q)
        if self.swap:
            between = distance if references is None else distances.between(self.distance, others, others)
        if triplets is not None:
            anchor, near, far = triplets.unbind(-1)  # (T,) each
            to_negative = self._nearest(distance[anchor, far], between, near, far)
            violation = self._violation(distance[anchor, near] - to_negative)
            return self._reduce(violation, torch.ones_like(anchor, dtype=torch.bool), self.reduction_of_given)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        mining = "batch-all" if pairs else self.mining
        if mining == "batch-hard":
            return self._hardest(distance, positive, negative, between)
        columns, valid = pairwise.compact(positive)  # (B, K)
        valid = valid & negative.any(-1, keepdim=True)
        to_positive = distance.gather(1, columns)  # (B, K)
        if mining == "semi-hard":
            rivals = selection.next_farther(distance, negative, to_positive)  # (B, K)
            to_negative = self._nearest(distance.gather(1, rivals), between, columns, rivals)
            return self._reduce(self._violation(to_positive - to_negative), valid, self.reduction)
        if self.soft:
            total, active = self._sum_soft(distance, negative, columns, valid, mining, between)
        elif between is not None:
            total, active = self._sum_swapped(distance, negative, columns, valid, mining, between)
        else:
            total, active = self._sum_hinge(distance, negative, to_positive, valid, mining)
        if (self.reduction_of_given if pairs else self.reduction) == "mean":
            active = (valid * negative.sum(-1, keepdim=True)).sum()
        return total / active.clamp_min(1)

    def _nearest(self, to_negative: Tensor, between: Tensor | None, near: Tensor, far: Tensor) -> Tensor:
        """Return the distances of the negatives `far` to their anchors, or to the positives `near`."""
        return to_negative if between is None else torch.minimum(to_negative, between[near, far])

    def _violation(self, gap: Tensor) -> Tensor:
        return F.softplus(gap + self.margin) if self.soft else F.relu(gap + self.margin)

    def _reduce(self, violation: Tensor, valid: Tensor, reduction: str) -> Tensor:
        return pairwise.mean(violation, valid & (violation > 0) if reduction == "nonzero" else valid)

    def _hardest(self, distance: Tensor, positive: Tensor, negative: Tensor, between: Tensor | None) -> Tensor:
        farthest, nearest, valid = selection.batch_hard(distance.detach(), positive, negative)  # (B,)
        to_farthest, to_nearest = (distance.gather(1, column[:, None])[:, 0] for column in (farthest, nearest))
        to_nearest = self._nearest(to_nearest, between, farthest, nearest)
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

    def _sum_swapped(
        self, distance: Tensor, negative: Tensor, columns: Tensor, valid: Tensor, mining: str, between: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the same with swap, whose sum depends on how often each distance is in a violated triplet alone."""
        times, times_between = torch.zeros_like(distance), torch.zeros_like(between)
        counts = []
        with torch.no_grad():
            for near, real in zip(columns.unbind(-1), valid.unbind(-1), strict=True):
                swapped = between[near]  # (B, Q)
                counted = self._counted(distance, negative, near, real, mining)
                limit = distance.gather(1, near[:, None]) + self.margin  # (B, 1)
                violated = counted & (torch.minimum(distance, swapped) < limit)
                nearer = violated & (swapped < distance)
                times += violated ^ nearer
                times_between.index_add_(0, near, nearer.to(times.dtype))
                counts.append(violated.sum(-1))
        count = torch.stack(counts, dim=-1)  # (B, K)
        wide = torch.float32 if distance.device.type == "mps" else torch.float64  # MPS has no float64
        total = (count * (distance.gather(1, columns) + self.margin)).sum(dtype=wide)
        total = total - (times * distance).sum(dtype=wide) - (times_between * between).sum(dtype=wide)
        return total.to(distance.dtype), count.sum()

    def _counted(self, distance: Tensor, negative: Tensor, near: Tensor, real: Tensor, mining: str) -> Tensor:
        """Return which negatives (B, Q) form triplets with one positive of each anchor, the columns `near` (B,)."""
        counted = negative & real[:, None]
        if mining == "semi-hard-all":
            to_positive = distance.gather(1, near[:, None])
            counted = counted & (distance > to_positive) & (distance <= to_positive + self.margin)
        return counted

    def _sum_soft(
        self,
        distance: Tensor,
        negative: Tensor,
        columns: Tensor,
        valid: Tensor,
        mining: str,
        between: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the same with softplus, one positive of each anchor at a time, recomputed in the backward pass."""
        total, active = distance.sum() * 0, valid.sum() * 0

        def one(distance: Tensor, between: Tensor | None, near: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
            to_positive = distance.gather(1, near[:, None])  # (B, 1)
            counted = self._counted(distance, negative, near, valid, mining)  # (B, Q)
            to_negative = distance if between is None else torch.minimum(distance, between[near])
            violation = torch.where(counted, self._violation(to_positive - to_negative), 0.0)
            return violation.sum(), (violation > 0).sum()

        for near, real in zip(columns.unbind(-1), valid.unbind(-1), strict=True):
            partial, violated = checkpoint(one, distance, between, near, real, use_reentrant=False)
            total, active = total + partial, active + violated
        return total, active


def definition(loss: Triplet, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula triplet by triplet."""
    x = F.normalize(embeddings)
    rows = range(len(x))

    def distance(i: int, j: int) -> Tensor:
        return distances.of_pair(loss.distance, x[i], x[j])

    def violation(i: int, p: int, n: int) -> Tensor:
        to_negative = torch.minimum(distance(i, n), distance(p, n)) if loss.swap else distance(i, n)
        gap = distance(i, p) - to_negative + loss.margin
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
