"""Several centers for each product, softly assigned, in a softmax with a margin.

Formula: S_c = sum over k of softmax_k(s_ck / gamma) s_ck; cross entropy of la (S_c - margin [c = y])
    + tau * sum over c and k < l of sqrt(2 + 1e-5 - 2 w_k . w_l) / (C K (K - 1))
Use: products that look different from different sides; no sampler. Take fewer centers where products are many.
Published: BN-Inception 512: CUB 65.4, Cars 84.5, SOP 78.3 (paper†)
Compared: pytorch-metric-learning equal with tau=0; idstcv/SoftTriple equal
Source: Qian et al., SoftTriple Loss: Deep Metric Learning Without Triplet Sampling, ICCV 2019, equations 9 and 12.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise, proxies
from dmlcli.learn.losses.interface import Loss, check_above, check_at_least

_SLICE = 64  # images whose softmax is made at a time


class SoftTriple(Loss):
    """The last term lets centers that are not needed merge.

    Settings:
        num_centers: centers of each label (K)
        la: scale of the similarities (lambda)
        gamma: softness of the assignment to centers
        tau: weight of the term that merges centers
        margin: by how much the own similarity must be ahead
        normalize: scale embeddings and centers to unit length first
    Parameters:
        centers: (C, K, D)
    """

    family: ClassVar[str] = "proxy"
    sampler: ClassVar[str] = "random"
    takes_references: ClassVar[bool] = False
    learning_rate_factor: ClassVar[float] = 100.0

    def __init__(
        self,
        num_labels: int,
        embedding_dim: int,
        *,
        num_centers: int = 10,
        la: float = 20.0,
        gamma: float = 0.1,
        tau: float = 0.2,
        margin: float = 0.01,
        normalize: bool = True,
    ) -> None:
        check_at_least(1, num_centers=num_centers)
        check_above(0, gamma=gamma)
        super().__init__(num_labels, embedding_dim)
        self.la, self.gamma, self.tau, self.margin, self.normalize = la, gamma, tau, margin, normalize
        self.centers = proxies.start(num_labels, num_centers, embedding_dim)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        references: Tensor | None = None,
        reference_labels: Tensor | None = None,
    ) -> Tensor:
        """Return the mean over images plus the merging term: (B, D), (B,) -> scalar >= 0."""
        images = pairwise.prepare(embeddings, normalize=self.normalize)
        centers = pairwise.prepare(self.centers, normalize=self.normalize)  # (C, K, D)

        def surprise(images: Tensor, labels: Tensor) -> Tensor:
            sharp = pairwise.similarity(images / self.gamma, centers.flatten(0, 1))  # (B, C K)
            relaxed = self.gamma * _Relaxed.apply(sharp.view(-1, *centers.shape[:2]))  # (B, C)
            own = labels[:, None]
            logits = self.la * relaxed.scatter(1, own, relaxed.gather(1, own) - self.margin)  # (B, C)
            return F.cross_entropy(logits, labels, reduction="none")

        mean = proxies.by_slices(surprise, images, labels, centers.shape[0] * centers.shape[1]).mean()
        return mean + self.tau * self._spread(centers) if self.tau else mean

    def _spread(self, centers: Tensor) -> Tensor:
        """Return half the mean distance between the centers (C, K, D) of one label: 0 when all of them have merged."""
        count, k, _ = centers.shape
        with torch.autocast(centers.device.type, enabled=False):
            dots = centers @ centers.mT  # (C, K, K)
        first, second = torch.triu_indices(k, k, offset=1)
        distance = (2 + 1e-5 - 2 * dots[:, first, second]).sqrt()  # (C, K (K - 1) / 2)
        return distance.sum() / max(count * k * (k - 1), 1)


class _Relaxed(torch.autograd.Function):
    """The mean (B, C) of similarities (B, C, K), weighted by their softmax over K.

    A few images at a time, so that no matrix is needed besides the similarities and their gradient; with C as the
    last dimension, since torch's softmax over a short last one takes twenty times as long.
    """

    @staticmethod
    def forward(ctx: Any, similarity: Tensor) -> Tensor:
        mean = torch.empty(similarity.shape[:2], dtype=similarity.dtype, device=similarity.device)
        for first in range(0, len(similarity), _SLICE):
            part = similarity[first : first + _SLICE].mT.contiguous()  # (b, K, C)
            mean[first : first + _SLICE] = part.softmax(1).mul_(part).sum(1)
        ctx.save_for_backward(similarity, mean)
        return mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        similarity, mean = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient will be differentiated: nothing in place
            slope: Tensor = similarity.softmax(-1) * (similarity - mean[..., None] + 1)
            return slope * gradients[0][..., None]
        gradient = torch.empty_like(similarity)
        for first in range(0, len(similarity), _SLICE):
            rows = slice(first, first + _SLICE)
            part = similarity[rows].mT.contiguous()  # (b, K, C)
            slope = part.softmax(1).mul_(part.sub_(mean[rows, None] - 1)).mul_(gradients[0][rows, None])
            gradient[rows] = slope.mT
        return gradient


def definition(loss: SoftTriple, embeddings: Tensor, labels: Tensor) -> Tensor:
    """Equations 9 and 12 with loops."""
    x, centers = F.normalize(embeddings), F.normalize(loss.centers, dim=-1)
    count, k, _ = centers.shape
    total = embeddings.sum() * 0
    for image, y in zip(x, labels.tolist(), strict=True):
        logits = []
        for c in range(count):
            s = torch.stack([image @ center for center in centers[c]])
            weights = torch.exp(s / loss.gamma) / torch.exp(s / loss.gamma).sum()
            logits.append(loss.la * ((weights * s).sum() - loss.margin * (c == y)))
        terms = torch.exp(torch.stack(logits))
        total = total - torch.log(terms[y] / terms.sum()) / len(x)
    for c in range(count):
        for a in range(k):
            for b in range(a):
                spread = torch.sqrt(2 + 1e-5 - 2 * centers[c, a] @ centers[c, b])
                total = total + loss.tau * spread / (count * k * (k - 1))
    return total
