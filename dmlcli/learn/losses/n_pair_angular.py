"""The n-pair and the angular loss together, over the same pairs.

Formula: n-pair + lam * mean over products i of
    ln(1 + sum over j != i of exp(4 t (x_i + x_i+) . x_j+ - 2 (1 + t) x_i . x_i+)), t = tan^2(alpha)
Use: the angular paper's best; two images of each product a batch.
Published: GoogLeNet 512: CUB 54.7, Cars 71.4, SOP 70.9 (Wang 2017†)
Compared: ronekko/deep_metric_learning equal
Source: Wang et al., Deep Metric Learning with Angular Loss, ICCV 2017, equation 9.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, selection
from dmlcli.learn.losses.interface import Loss, check_between


class NPairAngular(Loss):
    """The first two images of each label in batch order; raw dot products in one half, unit vectors in the other.

    Settings:
        l2_reg: weight of the squared length of the embeddings
        lam: weight of the angular half
        alpha: the largest angle at the negative, in degrees, 0 to 89
        normalize: scale embeddings to unit length in the n-pair half too
    """

    family: ClassVar[str] = "triplet"
    sampler: ClassVar[str] = "n-pair"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        l2_reg: float = 0.02,
        lam: float = 2.0,
        alpha: float = 45.0,
        normalize: bool = False,
    ) -> None:
        check_between(0, 89, alpha=alpha)
        super().__init__(num_labels, embedding_dim)
        self.l2_reg, self.lam, self.normalize = l2_reg, lam, normalize
        self.tangent = math.tan(math.radians(alpha)) ** 2

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
        length = (anchors.square().sum(-1) + partners.square().sum(-1)).mean() / 2
        rival = ~torch.eye(len(first), dtype=torch.bool, device=labels.device)  # (n, n)
        dots = pairwise.similarity(anchors, partners)  # (n, n)
        n_pair = pairwise.log1p_sum_exp(dots - dots.diagonal()[:, None], rival).mean()
        anchors, partners = F.normalize(anchors, dim=-1), F.normalize(partners, dim=-1)
        close = 2 * (1 + self.tangent) * (anchors * partners).sum(-1, keepdim=True)  # (n, 1)
        far = 4 * self.tangent * pairwise.similarity(anchors + partners, partners)  # (n, n)
        return n_pair + self.l2_reg * length + self.lam * pairwise.log1p_sum_exp(far - close, rival).mean()


def definition(loss: NPairAngular, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 9 with loops."""
    raw, unit = F.normalize(embeddings) if loss.normalize else embeddings, F.normalize(embeddings)
    rows: dict[int, list[int]] = {}
    for row, label in enumerate(labels.tolist()):
        rows.setdefault(label, []).append(row)
    couples = [(members[0], members[1]) for members in rows.values() if len(members) > 1]
    total, t = embeddings.sum() * 0, loss.tangent
    for a, p in couples:
        total = total + loss.l2_reg * (raw[a].square().sum() + raw[p].square().sum()) / 2
        rivals = [n for _, n in couples if n != p]
        if rivals:
            ahead = [torch.exp(raw[a] @ raw[n] - raw[a] @ raw[p]) for n in rivals]
            wide = [torch.exp(4 * t * (unit[a] + unit[p]) @ unit[n] - 2 * (1 + t) * unit[a] @ unit[p]) for n in rivals]
            total = total + torch.log(1 + torch.stack(ahead).sum()) + loss.lam * torch.log(1 + torch.stack(wide).sum())
    return total / max(len(couples), 1)
