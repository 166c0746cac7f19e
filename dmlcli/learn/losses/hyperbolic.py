"""The nt-xent loss with distances in hyperbolic space, where there is room for a tree of products.

Formula: mean over positive pairs of -ln(exp(-D_p / T) / (exp(-D_p / T) + sum over N of exp(-D_n / T)));
    D(z, w) = 2 / sqrt(c) artanh(sqrt(c) |(-z) (+) w|) in the Poincare ball, z = tanh(sqrt(c) |x|) x / (sqrt(c) |x|),
    embeddings x longer than clip_radius cut to it
Use: two images of each product a batch, as in the paper; the search compares directions, as with all losses.
Published: ViT-S 384 (DINO), 2 images a product: CUB 80.9, Cars 89.2, SOP 85.1, In-shop 92.4 (paper†)
Compared: htdt/hyp_metric the same formula (read, not run) for two images of each product
Source: Ermolov et al., Hyperbolic Vision Transformers: Combining Improvements in Metric Learning, CVPR 2022,
    equations 1 to 6.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss, check_above

_INSIDE = math.atanh(1 - 1e-5)  # so that no point is on the boundary of the ball, whose distances are infinite


class Hyperbolic(Loss):
    """Raw embeddings are mapped into the Poincare ball, from the tangent space at its center.

    Settings:
        curvature: c, minus the curvature of the space; smaller is flatter
        temperature: divides the distances; lower is sharper
        clip_radius: longer embeddings are cut to this length, as gradients vanish at the boundary
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
        curvature: float = 0.1,
        temperature: float = 0.2,
        clip_radius: float = 2.3,
    ) -> None:
        check_above(0, curvature=curvature, temperature=temperature, clip_radius=clip_radius)
        super().__init__(num_labels, embedding_dim)
        self.root, self.temperature, self.clip_radius = math.sqrt(curvature), temperature, clip_radius

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over positive pairs: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=False)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        logits = -self._distance(images, others) / self.temperature  # (B, Q)
        rivals = pairwise.logsumexp(logits, negative)[:, None]  # (B, 1)
        columns, real = pairwise.compact(positive)  # (B, K)
        surprise = F.softplus(rivals - logits.gather(1, columns))  # (B, K)
        return pairwise.mean(surprise, real & negative.any(-1, keepdim=True))

    def _distance(self, images: Tensor, others: Tensor) -> Tensor:
        """Hyperbolic distances (B, Q) of (B, D) and (Q, D), by |z - w| in the ball and the lengths of both sides."""
        points, stretch = self._into_ball(images)
        other_points, other_stretch = (points, stretch) if others is images else self._into_ball(others)
        chord = self.root * pairwise.root(pairwise.squared_distance(points, other_points))  # (B, Q)
        return 2 / self.root * torch.asinh(chord * stretch * other_stretch.T)

    def _into_ball(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the points (N, D) of the ball, and 1 / sqrt(1 - c |z|^2) (N, 1) of each."""
        longest = min(self.clip_radius, _INSIDE / self.root)
        length = self.root * rows.norm(dim=-1, keepdim=True).clamp_max(longest)  # (N, 1)
        return pairwise.unit(rows) * torch.tanh(length) / self.root, torch.cosh(length)


def definition(loss: Hyperbolic, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 1 to 6 with loops."""
    c = loss.root**2
    points = []
    for row in embeddings:
        row = row * (loss.clip_radius / row.norm()).clamp_max(1)
        points.append(torch.tanh(loss.root * row.norm()) * row / (loss.root * row.norm()))

    def distance(i: int, j: int) -> Tensor:
        z, w = -points[i], points[j]
        dot, z2, w2 = z @ w, z @ z, w @ w
        added = ((1 + 2 * c * dot + c * w2) * z + (1 - c * z2) * w) / (1 + 2 * c * dot + c**2 * z2 * w2)
        return 2 / loss.root * torch.atanh(loss.root * added.norm())

    values = []
    for i in range(len(points)):
        rivals = [torch.exp(-distance(i, n) / loss.temperature) for n in range(len(points)) if labels[n] != labels[i]]
        for p in range(len(points)):
            if p != i and labels[p] == labels[i] and rivals:
                own = torch.exp(-distance(i, p) / loss.temperature)
                values.append(-torch.log(own / (own + torch.stack(rivals).sum())))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
