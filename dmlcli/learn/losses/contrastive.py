"""Pulls images of one product together and pushes others apart until a margin.

Formula: linear: mean over positives of max(0, d - pos_margin) + mean over negatives of max(0, neg_margin - d),
    each over its active pairs
    hadsell: mean over all pairs of half the squares of the same
    cosine: sum over positives of 1 - s + sum over negatives with s > neg_margin of s, divided by B
Use: the classic; simple, robust, and in its cosine form the one to take with --memory.
Published: cosine form with memory: ResNet-50 128: SOP 80.6, In-shop 91.3; BN-Inception 512: CUB 65.8, Cars 82.0,
    SOP 79.5, In-shop 89.9 (paper†)
Compared: pytorch-metric-learning equal; bnu-wangxun/Deep_Metric equal; msight-tech/research-xbm equal (cosine)
Source: Hadsell et al., Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006, equation 4;
    the cosine form: Wang et al., Cross-Batch Memory for Embedding Learning, CVPR 2020.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise
from dmlcli.learn.losses.distances import Distance
from dmlcli.learn.losses.interface import Loss


class Contrastive(Loss):
    """Each pair by itself; margins are distances, or similarities in the cosine form.

    Settings:
        form: linear or hadsell (squared) hinges on distances, or cosine
        distance: of the linear and hadsell forms; margins of cosine and dot are similarities
        pos_margin: positives nearer than this are left alone; left out, 0.0, and 1.0 for similarities
        neg_margin: negatives farther than this are left alone; left out, 1.0, 0.0 for similarities, 0.5 if form=cosine
        reduction: mean over the active pairs (nonzero), over all pairs, or a sum for each anchor; left out, the form's
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        form: Literal["linear", "hadsell", "cosine"] = "linear",
        distance: Distance = "euclidean",
        pos_margin: float | None = None,
        neg_margin: float | None = None,
        reduction: Literal["nonzero", "mean", "sum-per-anchor"] | None = None,
        normalize: bool = True,
    ) -> None:
        if form == "cosine" and distance != "euclidean":
            raise ValueError("form cosine has its own similarity: use it without distance")
        super().__init__(num_labels, embedding_dim)
        self.form, self.distance, self.normalize = form, distance, normalize
        usual = (0.0, 0.5) if form == "cosine" else (1.0, 0.0) if distance in distances.SIMILARITIES else (0.0, 1.0)
        self.pos_margin = usual[0] if pos_margin is None else pos_margin
        self.neg_margin = usual[1] if neg_margin is None else neg_margin
        self.reduction = reduction or {"linear": "nonzero", "hadsell": "mean", "cosine": "sum-per-anchor"}[form]

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Positive part plus negative part: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0 (>= -1 in the cosine form)."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        columns, real = pairwise.compact(positive)  # (B, K)
        if self.form == "cosine":
            similarity = pairwise.similarity(images, others)  # (B, Q)
            apart = 1 - similarity.gather(1, columns)  # (B, K)
            pull = apart * (apart > self.pos_margin)
            push = similarity * (similarity > self.neg_margin)
        else:
            distance = distances.between(self.distance, images, others)  # (B, Q)
            pull = F.relu(distance.gather(1, columns) - distances.level(self.distance, self.pos_margin))  # (B, K)
            push = F.relu(distances.level(self.distance, self.neg_margin) - distance)  # (B, Q)
        if self.form == "hadsell":
            pull, push = pull.square() / 2, push.square() / 2
        return self._reduce(pull * real, push * negative.to(push.dtype), real.sum(), negative.sum())

    def _reduce(self, pull: Tensor, push: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        if self.reduction == "sum-per-anchor":
            return (pull.sum() + push.sum()) / len(pull)
        if self.reduction == "nonzero":
            positives, negatives = pull.count_nonzero(), push.count_nonzero()
        if self.form == "hadsell":  # one mean over all pairs, not one a side
            return (pull.sum() + push.sum()) / (positives + negatives).clamp_min(1)
        return pull.sum() / positives.clamp_min(1) + push.sum() / negatives.clamp_min(1)


def definition(loss: Contrastive, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula pair by pair."""
    x = F.normalize(embeddings)
    parts: dict[bool, list[Tensor]] = {True: [], False: []}
    for i in range(len(x)):
        for j in range(len(x)):
            if i == j:
                continue
            same = bool(labels[i] == labels[j])
            if loss.form == "cosine":
                similarity = x[i] @ x[j]
                value = 1 - similarity if same else similarity
                active = value > (loss.pos_margin if same else loss.neg_margin)
                parts[same].append(value * active)
            else:
                distance = distances.of_pair(loss.distance, x[i], x[j])
                margin = distances.level(loss.distance, loss.pos_margin if same else loss.neg_margin)
                hinge = F.relu(distance - margin if same else margin - distance)
                parts[same].append(hinge**2 / 2 if loss.form == "hadsell" else hinge)
    total = embeddings.sum() * 0
    for values in [parts[True] + parts[False]] if loss.form == "hadsell" else parts.values():
        count = {"mean": len(values), "nonzero": sum(v > 0 for v in values), "sum-per-anchor": len(x)}[loss.reduction]
        if values and count:
            total = total + torch.stack(values).sum() / count
    return total
