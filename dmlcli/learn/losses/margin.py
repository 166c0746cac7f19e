"""Positives inside, negatives outside a learned distance; negatives are drawn evenly over all distances.

Formula: sum over sampled (a, p, n) of [d_ap - beta + margin]+ + [beta - d_an + margin]+ + nu beta,
    divided by the number of hinges that are active; beta is that of the anchor's label
Use: with several images a product; its sampler finds negatives of every difficulty.
Published: ResNet-50 128: CUB 63.6, Cars 79.6, SOP 72.7 (paper)
Compared: pytorch-metric-learning equal without nu for the same triplets; suruoxi/DistanceWeightedSampling differs: it
    divides by triplets, not by hinges
Source: Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017, equations 4 to 6.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli.learn.losses import distances, pairwise, selection
from dmlcli.learn.losses.interface import Loss, check_above


class Margin(Loss):
    """One negative is drawn for each positive pair.

    Settings:
        distance: what is compared with beta
        margin: half the width of the gap around beta
        beta: where beta starts; left out, 1.2, or what that is as a squared distance or cosine of unit vectors
        nu: weight of the penalty on beta
        per_label: learn one beta for each label, not one for all
        cutoff: distances below this are drawn as if they were this
        nonzero_loss_cutoff: negatives beyond this distance are drawn only where an anchor has no nearer one
        normalize: scale embeddings to unit length first
    Parameters:
        beta: (C,)
    """

    family: ClassVar[str] = "triplet"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 50.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        distance: Literal["euclidean", "squared-euclidean", "cosine"] = "euclidean",
        margin: float = 0.2,
        beta: float | None = None,
        nu: float = 0.0,
        per_label: bool = True,
        cutoff: float = 0.5,
        nonzero_loss_cutoff: float = 1.4,
        normalize: bool = True,
    ) -> None:
        check_above(0, cutoff=cutoff)
        super().__init__(num_labels, embedding_dim)
        self.distance, self.margin, self.nu, self.normalize = distance, margin, nu, normalize
        self.cutoff, self.nonzero_loss_cutoff = cutoff, nonzero_loss_cutoff
        start = {"euclidean": 1.2, "squared-euclidean": 1.44, "cosine": 0.28}[distance] if beta is None else beta
        self.beta = nn.Parameter(torch.full((num_labels if per_label else 1,), float(start)))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        triplets: Tensor | None = None,
    ) -> Tensor:
        """Return the mean active hinge of the triplets, given or drawn: (B, D), (B,), [(Q, D), (Q,)] -> scalar."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        if triplets is None:
            euclidean = distances.between("euclidean", images.detach(), others.detach())  # (B, Q)
            triplets = self._draw(euclidean, labels, reference_labels, embeddings.shape[1])
        distance = distances.between(self.distance, images, others)  # (B, Q)
        anchor, positive, negative = triplets.unbind(-1)  # (T,) each
        learned = self.beta[labels[anchor]] if len(self.beta) > 1 else self.beta  # (T,) or (1,)
        beta = learned * distances.level(self.distance, 1.0)
        pull = F.relu(distance[anchor, positive] - beta + self.margin)
        push = F.relu(beta - distance[anchor, negative] + self.margin)
        active = (pull > 0).sum() + (push > 0).sum()
        return (pull + push + self.nu * learned).sum() / active.clamp_min(1)

    @torch.no_grad()
    def _draw(self, distance: Tensor, labels: Tensor, reference_labels: Tensor | None, dim: int) -> Tensor:
        """Triplets (T, 3): each positive pair with a negative drawn for it."""
        positive, negative = pairwise.masks(labels, reference_labels)
        weights = selection.distance_weights(distance, negative, dim, self.cutoff, self.nonzero_loss_cutoff)  # (B, Q)
        return selection.draw_negatives(positive, weights)


def definition(loss: Margin, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 4 to 6 with loops, on what the sampler draws: seed it alike to compare."""
    x = F.normalize(embeddings)
    triplets = loss._draw(torch.cdist(x, x).detach(), labels, None, x.shape[1])
    total, active = embeddings.sum() * 0, 0
    for a, p, n in triplets.tolist():
        learned = loss.beta[labels[a] if len(loss.beta) > 1 else 0]
        beta = -learned if loss.distance == "cosine" else learned
        pull = F.relu(distances.of_pair(loss.distance, x[a], x[p]) - beta + loss.margin)
        push = F.relu(beta - distances.of_pair(loss.distance, x[a], x[n]) + loss.margin)
        total = total + pull + push + loss.nu * learned
        active += int(pull > 0) + int(push > 0)
    return total / max(active, 1)
