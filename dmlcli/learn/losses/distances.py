"""The distances that a loss may be defined by: what its setting `distance` names.

All are small where two embeddings are alike. A similarity counts as its negative, so that losses compare distances
only; what is stated in units of a similarity, such as a margin at which pairs are left alone, is converted by `level`.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli.learn.losses import pairwise

Distance = Literal["squared-euclidean", "euclidean", "manhattan", "cosine", "dot", "signal-to-noise"]
SIMILARITIES = ("cosine", "dot")  # distances that are the negatives of a similarity


def between(name: Distance, images: Tensor, others: Tensor) -> Tensor:
    """Return the distances (B, Q) of images (B, D) to others (Q, D).

    cosine is that of embeddings of any length, dot the product of the embeddings as they are: the same if they have
    unit length. signal-to-noise is the variance of the entries of the difference over that of the image.

    Args:
        name: of the distance.
        images: (B, D).
        others: (Q, D).
    """
    if name in ("squared-euclidean", "euclidean"):
        squared = pairwise.squared_distance(images, others)
        return squared if name == "squared-euclidean" else pairwise.root(squared)
    if name == "manhattan":
        with torch.autocast(images.device.type, enabled=False):
            return torch.cdist(images, others.to(images.dtype), p=1)
    if name == "cosine":
        return -pairwise.similarity(pairwise.unit(images), pairwise.unit(others))
    if name == "dot":
        return -pairwise.similarity(images, others)
    signal, noisy = images - images.mean(-1, keepdim=True), others - others.mean(-1, keepdim=True)
    power = signal.square().sum(-1, keepdim=True).clamp_min(1e-12)  # (B, 1)
    return pairwise.squared_distance(signal, noisy) / power


def level(name: Distance, value: float) -> float:
    """Return the distance at which the distance or similarity `name` has the value `value`."""
    return -value if name in SIMILARITIES else value


def of_pair(name: Distance, x: Tensor, y: Tensor) -> Tensor:
    """Return the distance of two embeddings as its formula says, for definitions by loops.

    Args:
        name: of the distance.
        x: (D,), the image.
        y: (D,), what it is compared with.
    """
    match name:
        case "squared-euclidean":
            return (x - y).square().sum()
        case "euclidean":
            return (x - y).square().sum().sqrt()
        case "manhattan":
            return (x - y).abs().sum()
        case "cosine":
            return -F.cosine_similarity(x, y, dim=0)
        case "dot":
            return -(x @ y)
        case "signal-to-noise":
            return (y - x).var() / x.var()
