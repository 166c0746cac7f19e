"""Batch norms with frozen statistics as part of the convolutions before them: less to compute, and less to keep.

A frozen batch norm only scales and shifts each channel, and so can the convolution. Gradients reach the weights of both
as before.
"""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, fx, nn

Pair = tuple[nn.Conv2d, nn.BatchNorm2d]


class FrozenBatchNorms:
    """The batch norms of a module that directly follow a convolution, with their convolutions."""

    def __init__(self, module: nn.Module | None) -> None:
        """`module`: None where no batch norm is frozen."""
        self._pairs = _pairs(module) if module is not None else []

    @contextmanager
    def folded(self) -> Iterator[None]:
        """Inside, each convolution does the work of its batch norm, which must be in evaluation mode.

        The module must not be copied or changed in here.
        """
        try:
            for convolution, norm in self._pairs:
                convolution.forward = _both(convolution, norm)  # type: ignore[method-assign, assignment]
                norm.forward = _nothing  # type: ignore[method-assign, assignment]
            yield
        finally:
            for pair in self._pairs:
                for part in pair:
                    vars(part).pop("forward", None)


def _both(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
    """Return what a convolution and its batch norm do one after the other."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias * scale
    return partial(convolution._conv_forward, weight=convolution.weight * scale[:, None, None, None], bias=shift)


def _nothing(images: Tensor) -> Tensor:
    return images


def _pairs(module: nn.Module) -> list[Pair]:
    """Return the pairs whose parts have no other use."""
    found = list(_pairs_within(module))
    uses = Counter(part for pair in found for part in pair)
    return [pair for pair in found if all(uses[part] == 1 for part in pair)]


def _pairs_within(module: nn.Module) -> Iterator[Pair]:
    """Yield the pairs of a module, or those of its parts where torch cannot follow what it does."""
    try:
        graph = fx.symbolic_trace(copy.deepcopy(module)).graph  # modules may keep what they are called with
    except Exception:  # whatever it does with numbers that are not known before it runs
        for part in module.children():
            yield from _pairs_within(part)
        return
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(str(node.target) for node in calls)
    for node in calls:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        convolution, norm = (module.get_submodule(str(one.target)) for one in (before, node))
        if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:  # others do something more
            continue
        is_used_once = times[str(before.target)] == times[str(node.target)] == 1
        if is_used_once and norm.affine and norm.track_running_stats:
            yield convolution, norm
