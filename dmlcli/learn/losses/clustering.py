"""The best clustering of the batch must not beat the true one: one medoid for each product, compared as wholes.

Formula: max(0, F(S) + gamma (1 - NMI) - F(true)); F(S) = -sum over images of the distance to the nearest medoid in S,
    S found greedily, then refined; F(true) = sum over products of max over its members j of -sum of distances to j
Use: sees the structure of the whole batch, no pair or triplet mining; the search costs more than other losses.
Published: BN-Inception 64: CUB 48.2, Cars 58.1, SOP 67.0 (Song 2017)
Compared: ronekko/deep_metric_learning equal with distance=squared-euclidean, if it does not shuffle
Source: Song et al., Deep Metric Learning via Facility Location, CVPR 2017, equations 5 to 9 and algorithms 1 and 2.
"""

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import medoids, pairwise
from dmlcli.learn.losses.interface import Loss, check_at_least


class Clustering(Loss):
    """A structured hinge: the search for the medoids has no gradient, the distances to those found have.

    Settings:
        gamma: how much a clustering unlike the true one is worth to the search
        distance: euclidean (the paper's) or squared-euclidean
        pam_iters: how often all medoids are refined
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "clustering"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        gamma: float = 1.0,
        distance: Literal["euclidean", "squared-euclidean"] = "euclidean",
        pam_iters: int = 5,
        normalize: bool = True,
    ) -> None:
        check_at_least(0, pam_iters=pam_iters)
        super().__init__(num_labels, embedding_dim)
        self.gamma, self.distance, self.pam_iters, self.normalize = gamma, distance, pam_iters, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the whole batch's hinge: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        with torch.no_grad():
            distance = self._distance(pairwise.squared_distance(images, images))  # (B, B)
            true, found, unlike = medoids.search(distance, labels, self.gamma, self.pam_iters)  # (B,), (B,), 1 - NMI
        to_true, to_found = (
            self._distance((images - images[medoid]).square().sum(-1)).sum() for medoid in (true, found)
        )
        return F.relu(to_true - to_found + self.gamma * unlike)

    def _distance(self, squared: Tensor) -> Tensor:
        return pairwise.root(squared) if self.distance == "euclidean" else squared


def definition(loss: Clustering, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 5 to 9 and both algorithms with loops."""
    x = F.normalize(embeddings)
    rows, truth = range(len(x)), labels.tolist()

    def distance(i: int, j: int) -> Tensor:
        squared = (x[i] - x[j]).square().sum()
        return squared if loss.distance == "squared-euclidean" else pairwise.root(squared)

    d = [[float(distance(i, j).detach()) for j in rows] for i in rows]

    def entropy(words: list[Any]) -> float:
        return -sum(words.count(w) / len(words) * math.log(words.count(w) / len(words)) for w in set(words))

    def assign(medoids: list[int]) -> list[int]:
        return [i if i in medoids else min(medoids, key=lambda j: d[i][j]) for i in rows]

    def unlike(medoids: list[int]) -> float:
        clusters = assign(medoids)
        mutual = entropy(truth) + entropy(clusters) - entropy(list(zip(truth, clusters, strict=True)))
        scale = math.sqrt(entropy(truth) * entropy(clusters))
        return 1 - mutual / scale if scale > 0 else 1.0

    def score(medoids: list[int]) -> float:
        return loss.gamma * unlike(medoids) - sum(d[i][j] for i, j in enumerate(assign(medoids)))

    if len(set(truth)) == 1:
        return embeddings.sum() * 0
    found: list[int] = []
    for _ in set(truth):
        found.append(max((j for j in rows if j not in found), key=lambda j: round(score([*found, j]), 9)))
    for _ in range(loss.pam_iters):
        frozen = assign(found)
        for k, medoid in enumerate(list(found)):
            members = [i for i in rows if frozen[i] == medoid]

            def refined(j: int, k: int = k, members: list[int] = members) -> float:
                return round(loss.gamma * unlike([*found[:k], j, *found[k + 1 :]]) - sum(d[i][j] for i in members), 9)

            found[k] = max(members, key=refined)
    value = loss.gamma * unlike(found) - torch.stack([distance(i, j) for i, j in enumerate(assign(found))]).sum()
    for label in set(truth):
        members = [i for i in rows if truth[i] == label]
        best = min(members, key=lambda j: sum(d[i][j] for i in members))
        value = value + torch.stack([distance(i, best) for i in members]).sum()
    return F.relu(value)
