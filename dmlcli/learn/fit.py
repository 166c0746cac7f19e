"""The training loop, as a generator: yields one Epoch per pass, and knows neither files nor scores."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dmlcli.errors import TrainingError
from dmlcli.learn import two_pass
from dmlcli.learn.health import Health, measure, share_active
from dmlcli.learn.learner import Learner

Batch = tuple[Tensor, Tensor]  # inputs (B, ...) and labels (B,)
_APART = 0.3  # length of the noise that sets several centres of one label apart; means have length 1


@dataclass(frozen=True)
class Epoch:
    """One pass: its number from 1, mean loss, learning rate of the head, seconds, and how it looked to the loss."""

    number: int
    loss: float
    learning_rate: float
    seconds: float
    images: int  # that were shown
    health: Health


def fit(
    embed: Callable[[Tensor], Tensor],
    learner: Learner,
    feed: Callable[[int], Iterable[Batch]],
    until: Callable[[], float] = lambda: math.inf,
) -> Iterator[Epoch]:
    """Train the learner's modules in place, from the epoch after the one it stands at to its last.

    Args:
        embed: inputs (B, ...) to embeddings (B, D), not normalised: losses do that themselves.
        feed: the batches of epoch n.
        until: when to stop, in `time.monotonic()`: an epoch ends with the batch that passes it.

    Errors: TrainingError when the loss is no longer a finite number.
    """
    recipe = learner.recipe
    while learner.epoch < learner.epochs and time.monotonic() < until():
        number, started, images = learner.start_epoch(), time.perf_counter(), 0
        values: list[float] = []
        active: list[float] = []
        last: Batch | None = None
        for inputs, labels in feed(number):
            if len(values) % recipe.accumulate == 0:
                learner.optimizer.zero_grad()
            value, embeddings = _backward(embed, learner, inputs, labels)
            if not torch.isfinite(value):
                raise TrainingError(
                    f"the loss became {value.item()} in epoch {number}",
                    hint="lower --learning-rate, or take another --loss",
                )
            values.append(float(value.detach()))
            active.append(share_active(embeddings))
            images += len(labels)
            if last is None or (labels != labels[0]).any():  # a single label says nothing of collapse
                last = embeddings.detach(), labels
            if len(values) % recipe.accumulate == 0:
                learner.step(recipe.accumulate)
            if time.monotonic() >= until():
                break
        assert last is not None, "an epoch has batches"
        if len(values) % recipe.accumulate:
            learner.step(len(values) % recipe.accumulate)
        health = measure(*last, learner.loss, active=sum(active) / len(active))
        mean = sum(values) / len(values)
        learner.end_epoch(mean)
        yield Epoch(number, mean, learner.learning_rate, time.perf_counter() - started, images, health)


def _backward(
    embed: Callable[[Tensor], Tensor], learner: Learner, inputs: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """The value of the loss on a batch, and the embeddings (B, D) with their gradient, once all gradients are added."""
    chunk = learner.recipe.chunk
    # what the values of losses are made of stays float32 also in here; the products of their slopes need not
    narrow = torch.autocast(labels.device.type, torch.bfloat16, enabled=learner.recipe.precision == "bfloat16")
    with narrow:
        if chunk is not None and len(inputs) > chunk:
            return two_pass.backward(embed, learner.loss, inputs, labels, chunk)
        embeddings = embed(inputs)
        embeddings.retain_grad()
        value: Tensor = learner.loss(embeddings, labels)
    if torch.isfinite(value):
        torch.autograd.backward(value)
    return value, embeddings


def start_from_means(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    """Set a loss's own proxies, class weights or centres (C, [K,] D) to the mean embedding of each label."""
    for module in loss.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name not in ("proxies", "weight", "centers") or parameter.shape[-1] != embeddings.shape[1]:
                continue
            normalize = bool(getattr(module, "normalize", False))
            rows = nn.functional.normalize(embeddings, dim=-1) if normalize else embeddings
            sums = torch.zeros(len(parameter), rows.shape[1], device=rows.device).index_add_(0, labels, rows)
            means = sums / torch.bincount(labels, minlength=len(sums)).clamp_min(1)[:, None]  # (C, D)
            if normalize:
                means = nn.functional.normalize(means, dim=-1)
            if parameter.ndim == 3:  # centres of one label must differ, or they would move as one
                noise = torch.randn_like(parameter) * _APART / parameter.shape[-1] ** 0.5
                means = means[:, None] + noise  # (C, K, D)
            with torch.no_grad():
                parameter.copy_(means)
