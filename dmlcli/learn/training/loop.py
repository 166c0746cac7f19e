"""The training loop, as a generator: yields one Epoch per pass, and knows neither files nor scores."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dmlcli.learn.training import distributed, gradient_cache
from dmlcli.learn.training.diagnostics import Diagnostics, check_finite, lengths, measure, share_active
from dmlcli.learn.training.state import TrainerState, random_states, set_random_states

Batch = tuple[Tensor, Tensor]  # inputs (B, ...), of several processes each its part, and the labels of all (B,)


@dataclass(frozen=True)
class Epoch:
    """One pass: its number from 1, mean loss, learning rate of the head, seconds, and how it looked to the loss."""

    number: int
    loss: float
    learning_rate: float
    seconds: float
    images: int  # that were shown
    diagnostics: Diagnostics


def fit(
    embed: Callable[[Tensor], Tensor],
    trainer: TrainerState,
    feed: Callable[[int], Iterable[Batch]],
    until: Callable[[], float] = lambda: math.inf,
) -> Iterator[Epoch]:
    """Train the modules in place, from the epoch after the last finished one to the last of all.

    Args:
        embed: inputs (B, ...) to embeddings (B, D), not normalized: losses do that themselves.
        trainer: the modules and the optimizer.
        feed: the batches of epoch n.
        until: when to stop, in `time.monotonic()`: an epoch ends with the batch that passes it.

    Raises:
        TrainingError: when the loss, the embeddings, a gradient or a weight is not finite, naming epoch and step.
    """
    recipe, timed = trainer.recipe, distributed.broadcast(math.isfinite(until()))
    while _goes_on(trainer, until):
        number, started, images = trainer.start_epoch(), time.perf_counter(), 0
        loss_module = LossModule(embed, trainer, number)
        step = distributed.synchronized(loss_module)
        values: list[float] = []
        active: list[float] = []
        last: Batch | None = None
        for inputs, labels in feed(number):
            if len(values) % recipe.accumulate == 0:
                trainer.optimizer.zero_grad()
            value, embeddings = _backward(step, loss_module, inputs, labels)
            where = f"in epoch {number}, step {len(values) + 1}"
            check_finite(where, lengths_of_the_embeddings=lengths(embeddings), loss=value)
            check_finite(where, gradient=trainer.gradients())
            values.append(float(value.detach()))
            active.append(share_active(embeddings))
            images += len(labels)
            if last is None or (labels != labels[0]).any():  # a single label says nothing of collapse
                last = embeddings.detach(), labels
            if len(values) % recipe.accumulate == 0:
                trainer.step(recipe.accumulate)
            if timed and distributed.broadcast(time.monotonic() >= until()):
                break
        assert last is not None, "an epoch has batches"
        if len(values) % recipe.accumulate:
            trainer.step(len(values) % recipe.accumulate)
        largest = torch._foreach_norm([parameter.detach() for parameter in trainer.parameters], torch.inf)
        check_finite(f"at the end of epoch {number}", squared_weights=[size.square() for size in largest])
        diagnostics = measure(*last, trainer.loss, active=sum(active) / len(active))
        mean = sum(values) / len(values)
        trainer.end_epoch(mean)
        yield Epoch(number, mean, trainer.learning_rate, time.perf_counter() - started, images, diagnostics)


class LossModule(nn.Module):
    """From the inputs of an epoch to the loss, as one module with all parameters in training, those of the loss too.

    Its parameters are what several processes keep equal. Buffers are not among them: they are made of equal batches.
    """

    def __init__(self, embed: Callable[[Tensor], Tensor], trainer: TrainerState, number: int) -> None:
        super().__init__()
        self.parts = embed, trainer.loss  # in a tuple: their parameters are held below, and they have others
        self.in_training = nn.ParameterList(trainer.parameters)
        self.recipe, self.number = trainer.recipe, number
        self.batches = 0
        self.embeddings = torch.empty(0)  # (B, D) of the last batch, with their gradient after the backward pass

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the value of the loss on the whole batch; without labels, what `embed` makes of the inputs (B, D)."""
        embed, loss = self.parts
        if labels is None:
            return embed(inputs)
        with self.rank_rng():
            part = embed(inputs)
        self.embeddings = distributed.all_gather(part, len(labels))
        self.embeddings.retain_grad()
        value: Tensor = loss(self.embeddings, labels)
        return value

    def rank_rng(self) -> AbstractContextManager[None]:
        """Random numbers for the next batch alone, where processes need different ones."""
        self.batches += 1
        return distributed.rank_rng(f"{self.recipe.seed}/{self.number}/{self.batches}")


def _goes_on(trainer: TrainerState, until: Callable[[], float]) -> bool:
    """Return whether there is another epoch; the main process decides, and all start from its state."""
    going = trainer.epoch < trainer.epochs and time.monotonic() < until()
    said = distributed.broadcast((going, trainer.epochs, trainer.scores, random_states()))
    going, trainer.epochs, trainer.scores, rng = said
    set_random_states(rng)
    return going


def _backward(step: nn.Module, loss_module: LossModule, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Add the gradients of a batch, and return its loss and its embeddings (B, D) with their gradient.

    Args:
        step: the objective, or what keeps it equal in all processes.
    """
    recipe = loss_module.recipe
    # what the values of losses are made of stays float32 also in here; the products of their slopes need not
    autocast = torch.autocast(labels.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")
    with autocast:
        if recipe.chunk is not None and len(labels) > recipe.chunk * distributed.size():
            rng = loss_module.rank_rng()
            return gradient_cache.backward(*loss_module.parts, inputs, labels, recipe.chunk, last=step, rng=rng)
        value: Tensor = step(inputs, labels)
    if torch.isfinite(value):
        torch.autograd.backward(value)
    return value, loss_module.embeddings
