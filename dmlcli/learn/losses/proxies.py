"""What losses with proxies share: how proxies start, and how many of them stay within memory."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dmlcli.learn.losses import pairwise

LARGEST = 2**26  # entries of a similarity matrix that is kept for the backward pass: 256 MB; larger ones are sliced


def start(num_labels: int, *shape: int) -> nn.Parameter:
    """Proxies (C, ...) drawn from a normal distribution of variance 2 / C, as in the code of Proxy-Anchor's authors."""
    return nn.Parameter(torch.randn(num_labels, *shape) * math.sqrt(2 / num_labels))


def by_slices(function: Callable[[Tensor, Tensor], Tensor], rows: Tensor, keys: Tensor, width: int) -> Tensor:
    """Apply a function to slices of the rows whose matrices (R, width) fit in memory, and return the joined results.

    Slices are recomputed in the backward pass; where all rows fit at once it is a plain call.

    Args:
        function: from rows (R, D) and keys (R,) to (R, ...).
        rows: (N, D).
        keys: (N,).
        width: columns of the matrices that the function creates.
    """
    size = max(LARGEST // width, 1)
    if len(rows) <= size:
        return function(rows, keys)
    slices = zip(torch.split(rows, size), torch.split(keys, size), strict=True)
    return torch.cat([checkpoint(function, *one, use_reentrant=False) for one in slices])


def widen(cosine: Tensor, margin: float) -> Tensor:
    """Return the cosine of the angle plus `margin` (radians); past pi, the cosine less `margin` sin(`margin`).

    Source: Deng et al., ArcFace, CVPR 2019, and its authors' code for the angles beyond pi.
    """
    return torch.where(cosine >= -math.cos(margin), pairwise.turn(cosine, margin), cosine - margin * math.sin(margin))


def multiply_angle(cosine: Tensor, multiple: int) -> Tensor:
    """Return (-1)^k cos(multiple theta) - 2 k, k = floor(multiple theta / pi): it decreases in theta from 0 to pi.

    The cosine of a multiple is a polynomial in the cosine, whose slope is finite everywhere.

    Source: Liu et al., Large-Margin Softmax Loss, ICML 2016, equation 6; SphereFace, CVPR 2017, equation 7.
    """
    turns = (torch.acos(cosine.detach().clamp(-1, 1)) * multiple / math.pi).floor().clamp_max(multiple - 1)
    result, before = cosine, torch.ones_like(cosine)
    for _ in range(multiple - 1):
        result, before = 2 * cosine * result - before, result
    return (1 - 2 * (turns % 2)) * result - 2 * turns
