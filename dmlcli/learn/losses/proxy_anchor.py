"""A proxy per product pulls all its images and pushes all others, the hard ones most.

Formula: mean over proxies with images of ln(1 + sum over own images of exp(-alpha (s - margin)))
    + mean over all proxies of ln(1 + sum over other images of exp(alpha (s + margin)))
Use: the default: no sampler, quick to converge, among the best published results.
Published: BN-Inception 512: CUB 69.1, Cars 86.4, SOP 79.2, In-shop 91.9; ResNet-50 512: CUB 69.9, Cars 87.7 (README)
Compared: pytorch-metric-learning equal; tjddus9597/Proxy-Anchor-CVPR2020 equal until its exponentials overflow
Source: Kim et al., Proxy Anchor Loss for Deep Metric Learning, CVPR 2020, equation 4.
"""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss, check_above

_SAFE = 60.0  # exponents below which thousands of terms stay far from the end of float32


class ProxyAnchor(Loss):
    """Compares every image with every proxy: no sampler is needed, cost is B x C.

    Settings:
        alpha: sharpness: how much more the hard images count
        margin: similarity to reach above zero for own images, and to stay below it for others
        normalize: scale embeddings and proxies to unit length first
    Parameters:
        proxies: (C, D)
    """

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 100.0

    def __init__(
        self, num_labels: int, embedding_dim: int, *, alpha: float = 32.0, margin: float = 0.1, normalize: bool = True
    ) -> None:
        check_above(0, alpha=alpha)
        super().__init__(num_labels, embedding_dim)
        self.alpha, self.margin, self.normalize = alpha, margin, normalize
        self.proxies = proxies.start(num_labels, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over proxies of how badly their images are placed: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        centers = pairwise.prepare(self.proxies, normalize=self.normalize)
        if torch.compiler.is_compiling():  # it fuses what `_PullAndPush` writes out
            return _plainly(centers, images, labels, self.alpha, self.margin)
        value: Tensor = _PullAndPush.apply(centers, images, labels, self.alpha, self.margin)
        return value


class _PullAndPush(torch.autograd.Function):
    """The formula with its slope written out: one product for the value and two for the slope, and three looks at the
    matrix (C, B), where autograd takes a dozen. The slope is found with the value, slice by slice, and kept instead of
    the matrix. Under autocast the two products of the slope are narrow; the value never is.
    """

    @staticmethod
    def forward(ctx: Any, centers: Tensor, images: Tensor, labels: Tensor, alpha: float, margin: float) -> Tensor:
        """(C, D), (B, D), (B,) -> scalar."""
        dtype = _narrow(images)
        with torch.autocast(images.device.type, enabled=False):
            own = -alpha * ((images * centers[labels]).sum(-1) - margin)  # (B,), exponents
            pull, share = _of_own(own, labels, len(centers))
            proxies_of_slice = max(proxies.LARGEST // len(images), 1)
            push, to_centers, to_images = images.new_zeros(()), torch.empty_like(centers), torch.zeros_like(images)
            for start in range(0, len(centers), proxies_of_slice):
                rows = centers[start : start + proxies_of_slice]  # (S, D)
                inside = ((labels >= start) & (labels < start + len(rows))).nonzero().squeeze(1)
                cells = labels[inside] - start, inside
                value, slope = _of_others(rows, images, cells, alpha, margin, len(centers))  # slope (S, B)
                push = push + value
                slope[cells] = -alpha * share[inside]
                slope = slope.to(dtype)
                to_centers[start : start + len(rows)] = slope @ images.to(dtype)
                to_images += slope.T @ rows.to(dtype)
        ctx.save_for_backward(to_centers, to_images, centers, images, labels)
        ctx.settings = alpha, margin
        return pull + push

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        to_centers, to_images, centers, images, labels = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient will be differentiated, and the kept one is a constant
            value = _plainly(centers, images, labels, *ctx.settings)
            return *torch.autograd.grad(value, (centers, images), slope, create_graph=True), None, None, None
        if float(slope) != 1:  # in a sum of losses; a copy of as many proxies as products is not for nothing
            to_centers, to_images = slope * to_centers, slope * to_images
        return to_centers, to_images, None, None, None


def _plainly(centers: Tensor, images: Tensor, labels: Tensor, alpha: float, margin: float) -> Tensor:
    """Return the formula alone: (C, D), (B, D), (B,) -> scalar; autograd differentiates it any number of times."""
    similarity = pairwise.similarity(centers, images)  # (C, B)
    own = torch.arange(len(centers), device=labels.device)[:, None] == labels  # (C, B)
    pull = pairwise.log1p_sum_exp(-alpha * (similarity - margin), own)
    push = pairwise.log1p_sum_exp(alpha * (similarity + margin), ~own)
    return pairwise.mean(pull, own.any(-1)) + push.mean()


def _of_own(exponents: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the mean over proxies with images of ln(1 + sum exp(exponents)), and each image's share (B,) in it."""
    highest = exponents.new_zeros(count).scatter_reduce(0, labels, exponents, "amax")  # (C,), 0 at the least
    terms = (exponents - highest[labels]).exp()
    sums = (-highest).exp().index_add(0, labels, terms)  # (C,)
    used = torch.bincount(labels, minlength=count) > 0
    return pairwise.mean(sums.log() + highest, used), terms / sums[labels] / used.sum()


def _of_others(
    rows: Tensor, images: Tensor, own: tuple[Tensor, Tensor], alpha: float, margin: float, count: int
) -> tuple[Tensor, Tensor]:
    """Sum over proxies (S, D) of ln(1 + sum over others' images of exp(alpha (s + margin))) / count; slope (S, B)."""
    terms = torch.addmm(images.new_full((1, 1), alpha * margin), rows, images.T, alpha=alpha)  # (S, B)
    terms[own] = -torch.inf
    highest = terms.amax(-1, keepdim=True).clamp_min(0)  # (S, 1)
    if float(highest.max()) < _SAFE:
        highest = torch.zeros_like(highest)  # nothing can overflow
    else:
        terms -= highest
    terms.exp_()
    sums = terms.sum(-1, keepdim=True) + (-highest).exp()  # (S, 1)
    terms *= alpha / count / sums
    return (sums.log() + highest).sum() / count, terms


def _narrow(images: Tensor) -> torch.dtype:
    kind = images.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else images.dtype


def definition(loss: ProxyAnchor, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equation 4 with loops."""
    images, proxies = F.normalize(embeddings), F.normalize(loss.proxies)
    pull, push, with_images = embeddings.new_zeros(()), embeddings.new_zeros(()), 0
    for label, proxy in enumerate(proxies):
        own = [
            math.e ** (-loss.alpha * (x @ proxy - loss.margin))
            for x, y in zip(images, labels, strict=True)
            if y == label
        ]
        others = [
            math.e ** (loss.alpha * (x @ proxy + loss.margin))
            for x, y in zip(images, labels, strict=True)
            if y != label
        ]
        if own:
            with_images += 1
            pull = pull + torch.log(1 + torch.stack(own).sum())
        if others:
            push = push + torch.log(1 + torch.stack(others).sum())
    return pull / with_images + push / len(proxies)
