"""A random walk over images and proxies: each image must be more akin to the proxy of its group than to the others.

Formula: mean over images of ln(1 + sum over proxies k != y with h >= 0 of exp(h)), h = F_ik - F_iy + margin,
    + context_weight * the same with the cosines of the rows of F in place of its entries;
    F = (1 - alpha) (I - alpha D^-1/2 S D^-1/2)^-1, S = exp(2 [cos]+) off the diagonal, D its row sums
Use: few proxies stand for random groups of products, so that similarity is learned along the manifold of all images.
Compared: pytorch-metric-learning equal for the same groups
Source: Aziere and Todorovic, Ensemble Deep Manifold Similarity Learning Using Hard Proxies, CVPR 2019.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class Manifold(Loss):
    """Products are dealt to the groups in turn: label mod K.

    Settings:
        num_centers: groups of products, each with one proxy; not more than there are products
        context_weight: of the second part, which compares whole rows of F
        alpha: share of similarity that a step of the walk passes on, between 0 and 1
        margin: how much more akin the own proxy shall be
    Parameters:
        group_proxies: (K, D)
    """

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 100.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        num_centers: int = 50,
        context_weight: float = 1.0,
        alpha: float = 0.8,
        margin: float = 5e-4,
    ) -> None:
        if not 0 <= alpha < 1 or num_centers < 1:
            raise ValueError(f"alpha must be 0 to below 1, num_centers at least 1, not {alpha} and {num_centers}")
        super().__init__(num_labels, embedding_dim)
        self.context_weight, self.alpha, self.margin = context_weight, alpha, margin
        self.group_proxies = torch.nn.Parameter(torch.randn(min(num_centers, num_labels), embedding_dim))

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images: (B, D), (B,) -> scalar >= 0."""
        groups = labels % len(self.group_proxies)  # (B,)
        images = pairwise.prepare(embeddings, normalize=True)
        proxies = pairwise.prepare(self.group_proxies, normalize=True).to(images.dtype)
        walk = self._walk(torch.cat([images, proxies]))  # (B + K, B + K)
        of_images, of_proxies = walk[: len(images)], walk[len(images) :]
        context = pairwise.similarity(pairwise.unit(of_images), pairwise.unit(of_proxies))  # (B, K)
        intrinsic = self._surprise(of_images[:, len(images) :], groups)
        return intrinsic + self.context_weight * self._surprise(context, groups)

    def _walk(self, nodes: Tensor) -> Tensor:
        """Return how much of a walk that starts at each of the nodes (N, D) is spent at each other: (N, N)."""
        affinity = torch.exp(2 * F.relu(pairwise.similarity(nodes, nodes)))
        identity = torch.eye(len(nodes), dtype=nodes.dtype, device=nodes.device)
        affinity = affinity * (1 - identity)
        scale = affinity.sum(-1).clamp_min(1e-12).rsqrt()  # (N,)
        steps = scale[:, None] * affinity * scale
        inverse: Tensor = _Inverse.apply(identity - self.alpha * steps)
        return (1 - self.alpha) * inverse

    def _surprise(self, likeness: Tensor, groups: Tensor) -> Tensor:
        """Return the mean over images of the soft maximum of the proxies (B, K) that come near the own one."""
        ahead = likeness - likeness.gather(1, groups[:, None]) + self.margin  # (B, K)
        rival = (~(ahead < 0)).scatter(1, groups[:, None], False)
        return pairwise.log1p_sum_exp(ahead, rival).mean()


class _Inverse(torch.autograd.Function):
    """The inverse of a symmetric matrix (N, N) whose eigenvalues are positive, in less time than that of any other."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        inverse: Tensor = torch.cholesky_inverse(torch.linalg.cholesky_ex(matrix).L)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        (inverse,) = ctx.saved_tensors
        to_matrix: Tensor = -(inverse @ slope @ inverse)
        return to_matrix


def definition(loss: Manifold, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Compute the formula image by image; the inverse is the sum of all powers of the steps."""
    nodes = F.normalize(torch.cat([embeddings, loss.group_proxies]))
    count, total = len(embeddings), embeddings.sum() * 0
    affinity = [
        [torch.exp(2 * F.relu(a @ b)) * float(i != j) for j, b in enumerate(nodes)] for i, a in enumerate(nodes)
    ]
    degree = [torch.stack(row).sum() for row in affinity]
    steps = torch.stack(
        [
            torch.stack([affinity[i][j] / torch.sqrt(degree[i] * degree[j]) for j in range(len(nodes))])
            for i in range(len(nodes))
        ]
    )
    walk = power = torch.eye(len(nodes), dtype=nodes.dtype)
    for _ in range(200):  # 0.8^200 = 4e-20
        power = loss.alpha * power @ steps
        walk = walk + power
    walk = (1 - loss.alpha) * walk
    for i in range(count):
        own = int(labels[i]) % len(loss.group_proxies)
        context = [walk[i] @ row / (walk[i].norm() * row.norm()) for row in walk[count:]]
        for likeness, weight in ((walk[i, count:], 1.0), (context, loss.context_weight)):
            gaps = [likeness[k] - likeness[own] + loss.margin for k in range(len(context)) if k != own]
            terms = [torch.exp(gap) for gap in gaps if gap >= 0]
            total = total + weight * torch.log(1 + torch.stack(terms).sum()) if terms else total
    return total / count
