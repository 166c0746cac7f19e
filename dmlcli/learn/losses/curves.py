"""What a loss makes of one positive and one negative pair, by their cosine: for `dmlcli losses NAME --plot`.

The loss itself is run on a batch of an image, an image of its product and one of another product, whose cosines with
the first image are chosen. For a loss with proxies or class weights, these take the places of the two other images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from dmlcli.learn import losses
from dmlcli.learn.losses.interface import Loss

COSINES = [place / 50 for place in range(-49, 50)]  # of a plot
LABELS, DIM = 2, 4  # of the loss to draw
POSITIVE, NEGATIVE = 0.5, 0.0  # cosines of a pair while that of the other one varies


class Curve(NamedTuple):
    """The values of a loss, and their derivatives with respect to the cosine."""

    values: list[float]
    slopes: list[float]


def curves(spec: str) -> dict[str, Curve]:
    """Return the curves of a loss over COSINES by the kind of pair, `positive` and `negative`.

    Args:
        spec: one loss with its settings, as in `triplet:margin=0.3`.

    Raises:
        UsageError: no such loss or setting.
        ValueError: as `curve`.
    """
    loss = losses.build(spec, LABELS, DIM).eval()
    return {kind: curve(loss, COSINES, positive=kind == "positive") for kind in ("positive", "negative")}


def curve(loss: Loss, cosines: Sequence[float], *, positive: bool) -> Curve:
    """Return how a loss depends on the cosine of a pair.

    Args:
        loss: of 2 labels and embeddings of 4 numbers.
        cosines: above -1 and below 1.
        positive: whether the positive pair has these cosines, the negative one staying at 0; or else the negative one,
            the positive one staying at 0.5.

    Raises:
        ValueError: the loss compares no pairs, or has more than one group of proxies.
    """
    if loss.family == "regularizer":
        raise ValueError("a regularizer compares no pairs of images")
    values, slopes = [], []
    for cosine in cosines:
        moved = torch.tensor(cosine, dtype=torch.float64, requires_grad=True)
        fixed = torch.tensor(NEGATIVE if positive else POSITIVE, dtype=torch.float64)
        value = _value(loss, *((moved, fixed) if positive else (fixed, moved)))
        (slope,) = torch.autograd.grad(value, moved, allow_unused=True)
        values.append(value.item())
        slopes.append(0.0 if slope is None else slope.item())
    return Curve(values, slopes)


def _value(loss: Loss, to_positive: Tensor, to_negative: Tensor) -> Tensor:
    zero, one = to_positive.new_zeros(()), to_positive.new_ones(())
    image = torch.stack([one, zero, zero, zero])
    partner = torch.stack([to_positive, (1 - to_positive.square()).sqrt(), zero, zero])
    other = torch.stack([to_negative, zero, (1 - to_negative.square()).sqrt(), zero])
    state, embeddings = {}, torch.stack([image, partner, other])
    labels = torch.tensor([0, 0, 1])
    if loss.family in ("proxy", "classifier"):
        state = {name: _placed(parameter, partner, other) for name, parameter in loss.named_parameters()}
        embeddings, labels = embeddings[:1], labels[:1]
    elif loss.sampler == "n-pair":  # which needs two images of each product
        embeddings, labels = torch.stack([image, partner, other, other]), torch.tensor([0, 0, 1, 1])
    value: Tensor = functional_call(loss, state, (embeddings, labels))
    return value


def _placed(parameter: Tensor, partner: Tensor, other: Tensor) -> Tensor:
    """Return the two rows in the shape of proxies (2, D) or (2, K, D), and zeros in that of a bias."""
    if parameter.shape[-1] != DIM:
        return torch.zeros_like(parameter)
    if len(parameter) != LABELS:
        raise ValueError("its proxies are those of groups of products")
    rows = torch.stack([partner, other])
    return rows if parameter.ndim == 2 else rows[:, None].expand(parameter.shape)
