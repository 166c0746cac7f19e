"""Heads without a gradient step: whitened principal components and shrinkage LDA.

It takes a second. Gradient training starts from it, and must score better to be kept.
"""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from dmlcli.learn.networks.heads import BlendHead

_WHITENED_SHRINKAGE = 1.0
_FEW = 0.6  # images a feature below which the basis of the images is smaller
_ROUNDS, _MORE = 4, 16  # of the power iteration that finds the strongest components: steps, and spare directions


@dataclass(frozen=True)
class HeadParams:
    """The hyperparameters of an LDA head, selected by cross-validation."""

    shrinkage: float  # little suits seen products, much suits unseen ones
    blend: float  # share of the whitened part
    prototype_attention: float  # weight of the attention over the products' prototypes

    def __str__(self) -> str:
        attention = f"prototype attention {self.prototype_attention:g}"
        return f"LDA head, shrinkage {self.shrinkage:g}, blend {self.blend:g}, {attention}"


CONSERVATIVE = HeadParams(1.0, 0.5, 0.0)  # used where nothing can be measured
HEAD_PARAMS = tuple(HeadParams(*values) for values in product((0.1, 0.3, 1.0), (0.3, 0.5, 0.7), (0.0, 0.5, 1.0, 2.0)))


def split_dim(dim: int, num_labels: int) -> tuple[int, int]:
    """Return the dimensions of the whitened and the discriminative part; LDA has at most one less than labels."""
    discriminative = max(1, min(num_labels - 1, dim // 2))
    return dim - discriminative, discriminative


class ShrinkageLDA:
    """The scatter of one set of features, measured once; `fill` then sets a head for any hyperparameters.

    S is the within-class covariance + shrinkage * mean variance. The whitened part whitens by S^-1/2 and keeps the
    strongest principal components of the result, so that variation within products no longer hides what separates
    them. The discriminative part is shrinkage LDA: S^-1/2, then the span of the class means, strongest first.

    Neither needs S^-1/2 itself, which would take an eigendecomposition of F x F: with S = L L', x L'^-1 is as white,
    and a Cholesky factor costs a hundredth. All directions are combinations of the images; with far fewer images than
    features they are found among these combinations, where S is N x N.

    Source: Friedman, Regularized Discriminant Analysis, 1989; Rao, 1948.
    """

    def __init__(self, features: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """`features` unit (N, F), `labels` (N,) of 0...C-1, `weights` (N,) how much each image counts: all alike."""
        if weights is None:
            weights = torch.ones(len(features))
        self._features, self._labels = features, labels
        share = (weights / weights.sum()).double()[:, None]
        sizes = torch.zeros(int(labels.max()) + 1, 1, dtype=torch.double).index_add_(0, labels, share)  # (C, 1)
        weighted = features * share  # (N, F)
        prototypes = (
            torch.zeros(len(sizes), features.shape[1], dtype=torch.double).index_add_(0, labels, weighted) / sizes
        )
        within = (features - prototypes.float()[labels]) * share.sqrt().float()
        self._center = weighted.sum(0)
        self._variance = within.double().square().sum() / features.shape[1]  # the mean of the features
        self._basis: Tensor | None = None  # (F, N), orthonormal
        if len(features) < _FEW * features.shape[1]:
            self._basis = torch.linalg.qr(features.T)[0]
            within = within @ self._basis
        self._scatter = (within.T @ within).double()
        self._means = self._reduced(prototypes - self._center)

    def fill(self, head: BlendHead, head_params: HeadParams) -> None:
        """Set both parts, the prototypes, blend and prototype attention."""
        self.fill_whitened(head)
        self.fill_discriminative(head, head_params.shrinkage)
        head.blend, head.prototype_attention = (
            torch.tensor(head_params.blend),
            torch.tensor(head_params.prototype_attention),
        )

    def fill_whitened(self, head: BlendHead) -> None:
        """Set the whitened part, which does not depend on the hyperparameters."""
        factor = self._factor(_WHITENED_SHRINKAGE)
        centered = self._reduced(self._features - self._center.float())
        white = torch.linalg.solve_triangular(factor.float(), centered.T, upper=False).T  # (N, F)
        components = _strongest(white, head.whitened.out_features).double()  # (F, K)
        self._set(head.whitened, torch.linalg.solve_triangular(factor.T, components, upper=True))

    def fill_discriminative(self, head: BlendHead, shrinkage: float) -> None:
        """Set the discriminative part and its prototypes."""
        solved = torch.cholesky_solve(self._means.T, self._factor(shrinkage))  # S^-1 M', (F, C)
        strengths, directions = torch.linalg.eigh(self._means @ solved)  # of M S^-1 M', weakest first
        strengths, directions = strengths.flip(0), directions.flip(1)
        kept = strengths > 1e-9 * strengths[0]  # C - 1 at most: the means are centered
        self._set(head.discriminative.linear, solved @ (directions[:, kept] * strengths[kept].rsqrt()))
        with torch.no_grad():  # raw embeddings of length about 1, for the losses that do not normalize
            length = head.discriminative.linear(self._features).norm(dim=-1).mean()
            length = length.clamp_min(1e-12)  # 0 where all images are alike
            head.discriminative.linear.weight.div_(length)
            head.discriminative.linear.bias.div_(length)
        if len(head.prototypes):
            head.set_prototypes(self._features, self._labels)

    def _factor(self, shrinkage: float) -> Tensor:
        """Return the lower Cholesky factor of S, with as much more shrinkage as it takes where images are all alike."""
        added = (shrinkage * self._variance).clamp_min(1e-9)
        factor: Tensor = torch.linalg.cholesky(self._scatter + added * torch.eye(len(self._scatter)).double())
        return factor

    def _reduced(self, rows: Tensor) -> Tensor:
        """Return rows (M, F) in the basis, where there is one."""
        return rows if self._basis is None else rows @ self._basis.to(rows.dtype)

    def _set(self, layer: nn.Linear, directions: Tensor) -> None:
        """Project what is centered on the first columns of `directions`, (F, K) or (N, K) in the basis.

        Outputs left over stay 0.
        """
        weight = torch.zeros(layer.out_features, len(self._center), dtype=directions.dtype)
        kept = directions.T[: layer.out_features]
        if self._basis is not None:
            kept = kept @ self._basis.T.to(kept.dtype)
        weight[: len(kept)] = kept
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(-weight @ self._center)


def _strongest(rows: Tensor, count: int) -> Tensor:
    """Return the first principal components (F, count or fewer) of centered rows (N, F)."""
    count = min(count, *rows.shape)
    if min(rows.shape) <= 4 * count:
        exact: Tensor = torch.linalg.svd(rows, full_matrices=False).Vh
        return exact[:count].T
    with torch.random.fork_rng(devices=[]):  # the start is random, and must not depend on what came before
        torch.manual_seed(0)
        components: Tensor = torch.svd_lowrank(rows, q=count + _MORE, niter=_ROUNDS)[2]
    return components[:, :count]
