"""All that changes while training, in one place: it can be saved between two epochs and taken up again.

What trains (head, loss, backbone), the optimizer with its rates, the moving average, the scores so far, and where the
random numbers stand. A run that is resumed from a saved state ends with the same weights as one without interruption.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import lr_schedule, optimizer
from dmlcli.learn.training.ema import ExponentialMovingAverage


class TrainerState:
    """The modules in training and everything that moves them.

    `epoch` counts the passes that are done of `epochs`, which a budget may change. The caller reports each validation
    score by `report_score`: the schedule `plateau` uses them.
    """

    def __init__(self, recipe: Recipe, loss: nn.Module, *, head: nn.Module, backbone: nn.Module | None = None) -> None:
        network = nn.ModuleDict({"head": head} | ({"backbone": backbone} if backbone is not None else {}))
        self.recipe, self.loss, self.backbone = recipe, loss, backbone
        self.modules = nn.ModuleDict({"loss": loss, "network": network})
        self.optimizer = optimizer.build(recipe, optimizer.groups(recipe, head, backbone, loss))
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.average = ExponentialMovingAverage(network, recipe.ema) if recipe.ema else None
        self.epoch, self.epochs = 0, recipe.epochs  # done, and in all
        self.scores: list[float] = []  # of the epochs so far, higher is better
        self.rates: list[float] = []  # the share of the learning rate in the epochs so far
        self._given: list[float] = []  # in those to come, where it is not that of the schedule
        self._full_rates = [group["lr"] for group in self.optimizer.param_groups]
        in_training = {id(parameter) for parameter in self.parameters}
        self._pretrained = [p for p in backbone.parameters() if id(p) in in_training] if backbone else []

    @property
    def learning_rate(self) -> float:
        """Of the head, at the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def start_epoch(self) -> int:
        """Set the rates of the next pass, let the backbone stand or go, and return the number of the pass, from 1."""
        number = self.epoch + 1
        share = self._share(number)
        self.rates = [*self.rates[: self.epoch], share]
        for group, rate in zip(self.optimizer.param_groups, self._full_rates, strict=True):
            group["lr"] = rate * share
        for parameter in self._pretrained:
            parameter.requires_grad_(number > self.recipe.warmup)
        return number

    def repeat(self, rates: Sequence[float]) -> None:
        """Train as many epochs as there are shares of the learning rate, each at its own: those of another training."""
        self._given, self.epochs = list(rates), len(rates)

    def _share(self, number: int) -> float:
        if self._given:
            return self._given[number - 1]
        return lr_schedule.share(self.recipe.schedule_spec, number, self.epochs, self.scores)

    def gradients(self) -> list[Tensor]:
        """Return the gradients of all parameters that have one."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def step(self, batches: int = 1) -> None:
        """Move the parameters by their gradients, the mean of those of so many batches."""
        if batches > 1:
            torch._foreach_div_(self.gradients(), batches)
        optimizer.clip(self.recipe.clip_spec, self.parameters)
        self.optimizer.step()
        if self.average is not None:
            self.average.update()

    def end_epoch(self, loss: float) -> None:
        """Count a pass; until a score is reported, its negative mean loss is used."""
        self.epoch += 1
        self.scores.append(-loss)

    def end(self) -> None:
        """Train no further: the epoch behind is the last."""
        self.epochs = self.epoch

    def report_score(self, score: float | None) -> None:
        """Record the validation score of the last epoch; None without validation."""
        if score is not None:
            self.scores[-1] = score

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the modules hold the moving average, where there is one."""
        with self.average.in_place() if self.average is not None else nullcontext():
            yield

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes; everything in it can be saved without code. Not inside `averaged`."""
        return {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "scores": list(self.scores),
            "rates": list(self.rates),
            "given": list(self._given),
            "modules": self.modules.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "random": random_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a saved learner stood.

        Raises:
            KeyError, TypeError, ValueError, RuntimeError: where the state is not one of an equal learner.
        """
        self.epoch, self.epochs = int(state["epoch"]), int(state["epochs"])
        self.scores = [float(score) for score in state["scores"]]
        self.rates, self._given = ([float(rate) for rate in state[name]] for name in ("rates", "given"))
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        for parameter, values in self.optimizer.state.items():
            for name, value in values.items():
                if torch.is_tensor(value) and value.ndim and value.shape != parameter.shape:
                    raise ValueError(f"the optimizer's {name} has shape {tuple(value.shape)}")
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        set_random_states(state["random"])


def random_states() -> list[Tensor]:
    """Return where the random numbers of torch stand: on the CPU, then on each GPU."""
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def set_random_states(states: list[Tensor]) -> None:
    """Put torch's random numbers where `random_states` found them."""
    torch.set_rng_state(states[0])
    if len(states) == 1 + torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states[1:])
