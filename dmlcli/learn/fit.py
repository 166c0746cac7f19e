"""The training loop, as a generator: yields one Epoch per pass, and knows neither files nor scores."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dmlcli.errors import TrainingError
from dmlcli.learn import losses
from dmlcli.learn.health import Health, measure, share_active

Batch = tuple[Tensor, Tensor]  # inputs (B, ...) and labels (B,)
_APART = 0.3  # length of the noise that sets several centres of one label apart; means have length 1
_CLIP = 10.0  # largest value of a gradient entry (Proxy-Anchor's setting)


@dataclass(frozen=True)
class Epoch:
    """One pass: its number from 1, mean loss, learning rate of the head, seconds, and how it looked to the loss."""

    number: int
    loss: float
    learning_rate: float
    seconds: float
    health: Health


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. The learning rate falls along half a cosine."""

    epochs: int
    learning_rate: float  # of the head; the loss's own parameters get theirs times its `learning_rate_factor`
    backbone_factor: float = 0.1  # pretrained weights need smaller steps than a new head
    weight_decay: float = 1e-4


def fit(
    embed: Callable[[Tensor], Tensor],
    loss: nn.Module,
    feed: Callable[[int], Iterable[Batch]],
    schedule: Schedule,
    *,
    head: nn.Module,
    backbone: nn.Module | None = None,
) -> Iterator[Epoch]:
    """Train in place what is given of head, backbone and loss.

    Args:
        embed: inputs (B, ...) to embeddings (B, D), not normalised: losses do that themselves.
        feed: the batches of epoch n.

    Errors: TrainingError when the loss is no longer a finite number.
    """
    parameters = [p for module in (head, backbone, loss) if module is not None for p in module.parameters()]
    optimizer = torch.optim.AdamW(_groups(loss, schedule, head, backbone))
    base_rates = [group["lr"] for group in optimizer.param_groups]
    for number in range(1, schedule.epochs + 1):
        started, values, active = time.perf_counter(), [], []
        last: Batch | None = None
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * (number - 1) / schedule.epochs)) / 2
        for inputs, labels in feed(number):
            embeddings = embed(inputs)
            embeddings.retain_grad()
            value = loss(embeddings, labels)
            if not torch.isfinite(value):
                raise TrainingError(
                    f"the loss became {value.item()} in epoch {number}",
                    hint="lower --learning-rate, or take another --loss",
                )
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_value_(parameters, _CLIP)
            optimizer.step()
            values.append(float(value.detach()))
            active.append(share_active(embeddings))
            if last is None or (labels != labels[0]).any():  # a single label says nothing of collapse
                last = embeddings, labels
        rate = optimizer.param_groups[0]["lr"]
        seconds = time.perf_counter() - started
        assert last is not None, "an epoch has batches"
        health = measure(*last, loss, active=sum(active) / len(active))
        yield Epoch(number, sum(values) / len(values), rate, seconds, health)


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


def _groups(
    loss: nn.Module, schedule: Schedule, head: nn.Module, backbone: nn.Module | None
) -> list[dict[str, object]]:
    rate, decay = schedule.learning_rate, schedule.weight_decay
    groups: list[dict[str, object]] = [{"params": list(head.parameters()), "lr": rate, "weight_decay": decay}]
    if backbone is not None:
        pretrained = list(backbone.parameters())
        groups.append({"params": pretrained, "lr": rate * schedule.backbone_factor, "weight_decay": decay})
    return [group for group in groups if group["params"]] + losses.parameter_groups(loss, rate)
