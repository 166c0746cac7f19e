"""What losses over pairs share: similarities, distances, masks, and sums and means that cannot go wrong.

Everything here is float32 or better, also under autocast: bfloat16 cosines have three digits, far too few for a
temperature of 0.05. `B` is the batch, `Q` the references (the batch itself where none are given).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

EMPTY = -1e30  # in place of log(0): finite, so that a row without entries gives gradient 0 and not NaN


def prepare(embeddings: Tensor, *, normalize: bool) -> Tensor:
    """Return embeddings (B, D) in at least float32, of unit length with `normalize`."""
    if embeddings.dtype in (torch.float16, torch.bfloat16):
        embeddings = embeddings.float()
    if not normalize:
        return embeddings
    return unit(embeddings)


def unit(rows: Tensor) -> Tensor:
    """Return rows (..., D) scaled to unit length."""
    scaled: Tensor = _Unit.apply(rows)
    return scaled


class _Unit(torch.autograd.Function):
    """Rows of unit length; the slope written out takes three looks at them, autograd's own seven."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        lengths = rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        lengths.masked_fill_(lengths.isinf(), torch.nan)  # squares that overflow: divided by infinity, they were zeros
        scaled: Tensor = rows / lengths
        ctx.save_for_backward(rows, scaled, lengths)
        return scaled

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        rows, scaled, lengths = ctx.saved_tensors
        if torch.is_grad_enabled():  # the slope will be differentiated, and the kept lengths are constants
            lengths = rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        along = (slope[..., None, :] @ scaled[..., :, None]).squeeze(-1)  # (..., 1)
        to_rows: Tensor = torch.addcmul(slope, scaled, along, value=-1)
        return to_rows.div_(lengths)


def sides(embeddings: Tensor, references: Tensor | None, *, normalize: bool) -> tuple[Tensor, Tensor]:
    """Return the anchors (B, D), and what they are compared with: the references, or the anchors again.

    Args:
        embeddings: (B, D).
        references: (Q, D), which get no gradient; None: the embeddings.
        normalize: whether both are scaled to unit length.
    """
    images = prepare(embeddings, normalize=normalize)
    return images, images if references is None else prepare(references.detach(), normalize=normalize)


def similarity(embeddings: Tensor, references: Tensor) -> Tensor:
    """Dot products (B, Q) of (B, D) and (Q, D), in full precision also under autocast."""
    with torch.autocast(embeddings.device.type, enabled=False):
        return embeddings @ references.to(embeddings.dtype).T


def squared_distance(embeddings: Tensor, references: Tensor) -> Tensor:
    """Squared Euclidean distances (B, Q); 0 where they are within the rounding error of the product, as for copies."""
    references = references.to(embeddings.dtype)
    if references is embeddings and torch.compiler.is_compiling():
        references = embeddings.view_as(embeddings)  # it refuses one tensor as two inputs of a function
    squared: Tensor = _SquaredDistance.apply(embeddings, references)
    return squared


class _SquaredDistance(torch.autograd.Function):
    """|x|^2 + |y|^2 - 2 x . y, with the slope 2 (x - y) written out: autograd's own takes twice as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, y)
        norms = x.square().sum(-1, keepdim=True) + y.square().sum(-1)  # (B, Q)
        with torch.autocast(x.device.type, enabled=False):
            squared = torch.addmm(norms, x, y.T, alpha=-2)
        return squared.masked_fill_(squared <= 4 * torch.finfo(x.dtype).eps * norms, 0.0)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor | None]:
        x, y = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            to_x = 2 * torch.addmm(slope.sum(1)[:, None] * x, slope, y, alpha=-1)
            to_y = 2 * torch.addmm(slope.sum(0)[:, None] * y, slope.T, x, alpha=-1) if ctx.needs_input_grad[1] else None
        return to_x, to_y


def root(squared: Tensor) -> Tensor:
    """Square root with sub-gradient 0 at 0, where coincident points would give NaN."""
    distance: Tensor = _Root.apply(squared)
    return distance


class _Root(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, squared: Tensor) -> Tensor:
        distance = squared.sqrt()
        ctx.save_for_backward(distance)
        return distance

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        distance: Tensor = ctx.saved_tensors[0]
        return slope / (2 * distance).masked_fill_(distance == 0, torch.inf)


def turn(cosine: Tensor, angle: float) -> Tensor:
    """Return the cosine of the angle plus `angle` (radians), by the sine: the slope of acos is infinite at 1."""
    squared_sine = 1 - cosine.square()
    sine = root(torch.where(squared_sine > 4 * torch.finfo(cosine.dtype).eps, squared_sine, 0.0))
    return cosine * math.cos(angle) - sine * math.sin(angle)


def masks(labels: Tensor, reference_labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Which pairs (B, Q) are positive and which negative; without references an image is not its own positive."""
    if reference_labels is not None:
        positive = labels[:, None] == reference_labels[None, :]
        return positive, ~positive
    same = labels[:, None] == labels[None, :]
    negative = ~same
    same.fill_diagonal_(False)  # by index: exact duplicates stay positives
    return same, negative


def logsumexp(logits: Tensor, mask: Tensor) -> Tensor:
    """Log of the sum of exp(logits) over the last dimension where `mask`; about EMPTY for a row without any."""
    result: Tensor = _MaskedLogSumExp.apply(logits, mask)
    return result


class _MaskedLogSumExp(torch.autograd.Function):
    """The gradient is the softmax, whose terms the forward pass has computed: autograd's own computes them again."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, mask: Tensor) -> Tensor:
        terms = logits.masked_fill(~mask, EMPTY)
        highest = terms.amax(-1, keepdim=True)
        terms.sub_(highest).exp_()  # in place: a matrix less in memory
        total = terms.sum(-1, keepdim=True)
        result: Tensor = (highest + total.log()).squeeze(-1)
        total = total.masked_fill(highest <= EMPTY, torch.inf)  # rows without any: gradient 0
        ctx.save_for_backward(terms, total, logits, result, mask)
        return result

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        terms, total, logits, result, mask = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient will be differentiated, and the kept terms are constants
            inside = mask & (result > EMPTY / 2).unsqueeze(-1)
            softmax = torch.where(inside, logits - result.unsqueeze(-1), -torch.inf).exp()
            return softmax * slope.unsqueeze(-1), None
        return terms * (slope.unsqueeze(-1) / total), None


def log1p_sum_exp(logits: Tensor, mask: Tensor) -> Tensor:
    """ln(1 + sum of exp(logits)) over the last dimension where `mask`; 0 for a row without any."""
    return F.softplus(logsumexp(logits, mask))


def weigh(values: Tensor, weights: Tensor) -> Tensor:
    """Return the product of values and weights (of one shape), the weights being constants in the gradient.

    The derivative of that gradient takes account of how the weights depend on the embeddings. Where they were computed
    without a graph, it raises RuntimeError.
    """
    product: Tensor = _Weighed.apply(values, weights)
    return product


class _Weighed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(weights)
        return values * weights

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        if torch.is_grad_enabled() and not ctx.needs_input_grad[1]:
            raise RuntimeError("this loss has no second derivative: its weights are constants in the gradient")
        return slope * weights, None


def mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values (all finite) where `mask`; where it is empty, a 0 that has a gradient."""
    return (values * mask.to(values.dtype)).sum() / mask.sum().clamp_min(1)


def looks_at(tensor: Tensor) -> bool:
    """Return whether a decision may depend on the values: not while they are compiled or captured into a CUDA graph."""
    if torch.compiler.is_compiling():
        return False
    return not (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def compact(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Columns (B, K) of the true entries of a mask (B, Q), and which of them are real (B, K); K at least 1.

    In compiled code, whose shapes may not depend on values, K is Q and each entry stays in its column.
    """
    if torch.compiler.is_compiling():
        return torch.arange(mask.shape[-1], device=mask.device).expand_as(mask), mask
    counts = mask.sum(-1, keepdim=True)  # (B, 1)
    width = max(int(counts.max()), 1)
    real = torch.arange(width, device=mask.device) < counts  # (B, K)
    columns = counts.new_zeros(real.shape)
    columns[real] = mask.nonzero()[:, 1]  # both in order of rows, then columns
    return columns, real
