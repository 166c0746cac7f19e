"""Weighs each pair by its own similarity and by that of its rivals; keeps only hard pairs.

Formula: mean over all B anchors of 1 / alpha ln(1 + sum over hard P of exp(-alpha (s - base)))
    + 1 / beta ln(1 + sum over hard N of exp(beta (s - base)))
Use: the strongest of the pair losses in most comparisons; 4 to 5 images a product.
Published: BN-Inception 512: CUB 65.7 (README), Cars 84.1†, SOP 78.2†, In-shop 89.7†
Compared: pytorch-metric-learning equal, 0 where a single pair of each kind is left; MalongTech/research-ms-loss
    equal, fails without positives
Source: Wang et al., Multi-Similarity Loss with General Pair Weighting, CVPR 2019, equation 15.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.interface import Loss, check_above


class MultiSimilarity(Loss):
    """Soft maxima over the mined positives and negatives of each anchor.

    Settings:
        alpha: sharpness for positives
        beta: sharpness for negatives
        base: similarity around which pairs are weighed
        epsilon: a pair is hard if it is within this of the hardest pair of the other kind; none keeps all pairs
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
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        epsilon: float | None = 0.1,
        normalize: bool = True,
    ) -> None:
        check_above(0, alpha=alpha, beta=beta)
        super().__init__(num_labels, embedding_dim)
        self.alpha, self.beta, self.base, self.epsilon, self.normalize = alpha, beta, base, epsilon, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Sum over anchors divided by B, also where the miner left an anchor nothing: (B, D), (B,) -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        similarity = pairwise.similarity(images, others)  # (B, Q)
        hard = pairs or selection.multi_similarity_pairs(
            similarity, *pairwise.masks(labels, reference_labels), self.epsilon
        )
        pull = pairwise.log1p_sum_exp(-self.alpha * (similarity - self.base), hard[0])  # (B,)
        push = pairwise.log1p_sum_exp(self.beta * (similarity - self.base), hard[1])  # (B,)
        return (pull / self.alpha + push / self.beta).mean()


def definition(loss: MultiSimilarity, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 7, 8 and 15 with loops."""
    x = F.normalize(embeddings)
    epsilon = torch.inf if loss.epsilon is None else loss.epsilon
    total = embeddings.sum() * 0
    for i in range(len(x)):
        positives = [x[i] @ x[j] for j in range(len(x)) if j != i and labels[j] == labels[i]]
        negatives = [x[i] @ x[j] for j in range(len(x)) if labels[j] != labels[i]]
        hard_positives = [s for s in positives if s - epsilon < max(negatives, default=-torch.inf)]
        hard_negatives = [s for s in negatives if s + epsilon > min(positives, default=torch.inf)]
        if loss.epsilon is None:
            hard_positives, hard_negatives = positives, negatives
        if hard_positives:
            terms = torch.stack([torch.exp(-loss.alpha * (s - loss.base)) for s in hard_positives])
            total = total + torch.log(1 + terms.sum()) / loss.alpha
        if hard_negatives:
            terms = torch.stack([torch.exp(loss.beta * (s - loss.base)) for s in hard_negatives])
            total = total + torch.log(1 + terms.sum()) / loss.beta
    return total / len(x)
