"""A moving average of the weights (EMA): steadier than the weights of any one step, and often better."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """The average of a module's floating-point weights and buffers over the steps so far.

    The first steps count more, decay being min(`decay`, (1 + steps) / (10 + steps)): else the start would linger.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        values = [*module.named_parameters(), *module.named_buffers()]
        self._live = {name: value.detach() for name, value in values if value.is_floating_point()}
        self._mean = {name: value.clone() for name, value in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        share = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self._mean.values()), list(self._live.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module holds the average inside the block, and its own weights again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, object]:
        """Return what `load_state_dict` takes."""
        return {"steps": self.steps, "mean": self._mean}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, object]) -> None:
        """Go on from a saved average; raises KeyError or ValueError where it is of another module."""
        mean, steps = state["mean"], state["steps"]
        if not isinstance(mean, dict) or not isinstance(steps, int):
            raise ValueError("not the state of a moving average")
        for name, value in self._mean.items():
            if mean[name].shape != value.shape:
                raise ValueError(f"{name} has shape {tuple(mean[name].shape)}, not {tuple(value.shape)}")
            value.copy_(mean[name])
        self.steps = steps

    @torch.no_grad()
    def _swap(self) -> None:
        for name, value in self._live.items():
            kept: Tensor = value.clone()
            value.copy_(self._mean[name])
            self._mean[name].copy_(kept)
