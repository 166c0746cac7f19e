"""Heads without a gradient step: shrinkage LDA for the tuned part, principal components for the base part.

It takes a second, starts the gradient training, and is the bar that training must clear.
"""

import torch
from torch import Tensor, nn

from dmlcli.learn.network import BlendHead

SHRINKAGES = (0.1, 0.3, 1.0)  # little suits products seen in training, much suits new ones: validation chooses
BLENDS = (0.1, 0.3, 0.5)


def split_dim(dim: int, num_labels: int) -> tuple[int, int]:
    """How many of `dim` go to the base and to the tuned part: LDA has one less than there are labels."""
    tuned = max(1, min(num_labels - 1, dim // 2))
    return dim - tuned, tuned


class ClosedForm:
    """The decompositions of one set of features, made once; `fill` then sets a head for any shrinkage.

    The tuned part is shrinkage LDA: whiten by S^-1/2, S = within-class covariance + shrinkage * mean variance, then
    keep the span of the class means, strongest directions first. Shrinkage moves the eigenvalues of S and not its
    eigenvectors, so one decomposition serves them all.

    Source: Friedman, Regularized Discriminant Analysis, 1989; Rao, 1948.
    """

    def __init__(self, features: Tensor, labels: Tensor) -> None:
        """`features` (N, F), `labels` (N,) of 0...C-1."""
        x = features.double()
        sizes = torch.bincount(labels).double()[:, None]  # (C, 1)
        means = torch.zeros(len(sizes), x.shape[1], dtype=x.dtype).index_add_(0, labels, x) / sizes  # (C, F)
        within = x - means[labels]
        self._features = features
        self._centre = x.mean(0)
        self._means = means - self._centre
        self._variances, self._axes = torch.linalg.eigh(within.T @ within / len(x))
        _, components = torch.linalg.eigh((x - self._centre).T @ (x - self._centre))  # weakest first
        self._components = components.flip(1)[:, : len(x) - 1]

    def fill(self, head: BlendHead, shrinkage: float) -> None:
        """Set the base part to the strongest principal components, the tuned part to LDA."""
        stretch = (self._variances + shrinkage * self._variances.mean()).clamp_min(1e-12).rsqrt()
        whiten = self._axes * stretch @ self._axes.T  # (F, F)
        _, _, span = torch.linalg.svd(self._means @ whiten, full_matrices=False)
        self._set(head.base, self._components)
        self._set(head.tuned, whiten @ span[: len(self._means) - 1].T)
        with torch.no_grad():  # raw embeddings of length about 1, for the losses that do not normalise
            length = head.tuned(self._features).norm(dim=-1).mean()
            length = length.clamp_min(1e-12)  # 0 where all images are alike
            head.tuned.weight.div_(length)
            head.tuned.bias.div_(length)

    def _set(self, layer: nn.Linear, directions: Tensor) -> None:
        """Project what is centred on the first columns of `directions` (F, K); outputs left over stay 0."""
        weight = torch.zeros(layer.out_features, len(self._centre), dtype=directions.dtype)
        kept = directions.T[: layer.out_features]
        weight[: len(kept)] = kept
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(-weight @ self._centre)
