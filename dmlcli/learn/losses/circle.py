"""Weighs each pair by how far it still is from its goal: a circle, not a line, divides good from bad.

Formula: mean over anchors of ln(1 + sum over N of exp(gamma [s + m]+ (s - m))
    times sum over P of exp(-gamma [1 + m - s]+ (s - (1 - m)))), the brackets constant in the gradient
Use: a strong general choice; m 0.4 and gamma 80 for retrieval, 0.25 and 256 for faces.
Published: BN-Inception 512: CUB 66.7, Cars 83.4, SOP 78.3 (paper†)
Compared: pytorch-metric-learning equal; TinyZeaMays/CircleLoss differs: it pools all pairs of the batch
Source: Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020, equation 6.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise
from dmlcli.learn.losses.interface import Loss


class Circle(Loss):
    """Self-paced soft maxima over the positives and negatives of each anchor.

    Settings:
        m: relaxation: positives shall exceed 1 - m, negatives stay below m
        gamma: scale of the similarities
        normalize: scale embeddings to unit length first
    """

    family: ClassVar[str] = "pair"
    sampler: ClassVar[str] = "pk"
    takes_references: ClassVar[bool] = True
    learning_rate_factor: ClassVar[float] = 1.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, m: float = 0.4, gamma: float = 80.0, normalize: bool = True
    ) -> None:
        super().__init__(num_labels, embedding_dim)
        self.m, self.gamma, self.normalize = m, gamma, normalize

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
        pairs: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Return the mean over anchors that have both: (B, D), (B,), [(Q, D), (Q,)] -> scalar >= 0."""
        images, others = pairwise.sides(embeddings, references, normalize=self.normalize)
        positive, negative = pairs or pairwise.masks(labels, reference_labels)
        similarity = pairwise.similarity(images, others)  # (B, Q)
        columns, real = pairwise.compact(positive)  # (B, K)
        m, gamma = self.m, self.gamma

        def by_anchor(similarity: Tensor, constant: Tensor) -> Tensor:
            close = similarity.gather(1, columns)  # (B, K)
            pull = -gamma * F.relu(1 + m - constant.gather(1, columns)) * (close - (1 - m))  # (B, K)
            push = gamma * F.relu(constant + m) * (similarity - m)  # (B, Q)
            return F.softplus(pairwise.logsumexp(pull, real) + pairwise.logsumexp(push, negative))  # (B,)

        return pairwise.mean(_self_paced(by_anchor, similarity), positive.any(-1) & negative.any(-1))


def _self_paced(function: Callable[[Tensor, Tensor], Tensor], rows: Tensor) -> Tensor:
    """Return function(rows, rows), its second argument being a constant in the gradient."""
    if torch.compiler.is_compiling():  # compiled gradients cannot be differentiated
        return function(rows, rows.detach())
    values: Tensor = _SelfPaced.apply(function, rows)
    return values


class _SelfPaced(torch.autograd.Function):
    """Differentiated again, the gradient depends on both arguments, although it is taken by the first alone."""

    @staticmethod
    def forward(ctx: Any, function: Callable[[Tensor, Tensor], Tensor], rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.function = function
        with torch.enable_grad():
            ctx.leaf = rows.detach().requires_grad_()
            ctx.values = function(ctx.leaf, rows.detach())
        values: Tensor = ctx.values.detach()
        return values

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[None, Tensor]:
        if not torch.is_grad_enabled():
            return None, torch.autograd.grad(ctx.values, ctx.leaf, slope, retain_graph=True)[0]
        (rows,) = ctx.saved_tensors
        first = rows.view_as(rows)
        return None, torch.autograd.grad(ctx.function(first, rows), first, slope, create_graph=True)[0]


def definition(loss: Circle, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 6 with loops."""
    x = F.normalize(embeddings)
    values = []
    for i in range(len(x)):
        pull, push = [], []
        for j in range(len(x)):
            s = x[i] @ x[j]
            if labels[j] != labels[i]:
                push.append(torch.exp(loss.gamma * F.relu(s.detach() + loss.m) * (s - loss.m)))
            elif j != i:
                pull.append(torch.exp(-loss.gamma * F.relu(1 + loss.m - s.detach()) * (s - (1 - loss.m))))
        if pull and push:
            values.append(torch.log(1 + torch.stack(pull).sum() * torch.stack(push).sum()))
    return torch.stack(values).mean() if values else embeddings.sum() * 0
