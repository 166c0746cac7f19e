"""Each anchor must find its one partner among the partners of all other products.

Formula: mean over products i of ln(1 + sum over j != i of exp(x_i . x_j+ - x_i . x_i+)) + l2_reg (|x|^2 + |x+|^2) / 2
Use: many products with two images each a batch.
Published: GoogLeNet 64: CUB 45.4, Cars 53.9, SOP 66.4 (Song 2017†)
Compared: pytorch-metric-learning equal with l2_reg=0 and raw dot products; ronekko/deep_metric_learning equal
Source: Sohn, Improved Deep Metric Learning with Multi-class N-pair Loss Objective, NeurIPS 2016, equation 6.
"""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.interface import Loss


class NPair(Loss):
    """Uses the first two images of each label in batch order, on raw dot products with a penalty on their length.

    Settings:
        l2_reg: weight of the squared length of the embeddings
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "n-pair"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(self, num_labels: int, embedding_dim: int, *, l2_reg: float = 0.02, normalize: bool = False) -> None:
        super().__init__(num_labels, embedding_dim)
        self.l2_reg, self.normalize = l2_reg, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over the n labels that have two images: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        first, second = selection.first_two(labels)  # (n,) each
        if len(first) == 0:
            return images.sum() * 0
        anchors, partners = images[first], images[second]  # (n, D)
        similarity = pairwise.similarity(anchors, partners)  # (n, n)
        ahead = similarity - similarity.diagonal()[:, None]  # how far each rival is ahead of the partner
        ranking = pairwise.log1p_sum_exp(ahead, ~torch.eye(len(first), dtype=torch.bool, device=labels.device)).mean()
        length = (anchors.square().sum(-1) + partners.square().sum(-1)).mean() / 2
        return ranking + self.l2_reg * length


def definition(loss: NPair, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 6 with loops, plus the penalty of section 3.2.2."""
    x = F.normalize(embeddings) if loss.normalize else embeddings
    rows: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        rows.setdefault(label, []).append(row)
    couples = [(members[0], members[1]) for members in rows.values() if len(members) > 1]
    total = embeddings.sum() * 0
    for anchor, partner in couples:
        rivals = [torch.exp(x[anchor] @ x[other] - x[anchor] @ x[partner]) for _, other in couples if other != partner]
        total = total + torch.log(1 + torch.stack(rivals).sum()) if rivals else total
        total = total + loss.l2_reg * (x[anchor] @ x[anchor] + x[partner] @ x[partner]) / 2
    return total / max(len(couples), 1)
