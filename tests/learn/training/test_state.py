"""All that changes while training can be saved, and a run that goes on from it ends as if it had never stopped."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dmlcli.learn import losses
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import cross_batch_memory
from dmlcli.learn.training.loop import Batch, fit
from dmlcli.learn.training.state import TrainerState

RECIPES = {
    "adamw, average": Recipe(epochs=6, ema=0.9),
    "sgd, plateau": Recipe(epochs=6, optimizer="sgd:nesterov=true", schedule="plateau:patience=1,factor=0.5"),
    "adam, warm-up, accumulated": Recipe(epochs=6, optimizer="adam", warmup=3, accumulate=2, clip="norm:1"),
    "two passes, ramp": Recipe(epochs=6, chunk=5, schedule="step:every=2,ramp=3"),
    "memory, average": Recipe(epochs=6, loss="contrastive", ema=0.9),
    "random draws": Recipe(epochs=6, loss="margin"),
}


class Dropping(nn.Module):
    """A network with dropout and batch norm: random numbers and buffers are part of where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_extractor = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        embeddings: Tensor = self.head(self.feature_extractor(inputs))
        return embeddings


def stage(recipe: Recipe) -> tuple[Dropping, TrainerState]:
    torch.manual_seed(0)
    network = Dropping()
    loss: nn.Module = losses.build(recipe.loss, 4, 4)
    if recipe.loss == "contrastive":
        loss = cross_batch_memory.Memory(loss, 4, size=20, start=1)
    return network, TrainerState(recipe, loss, head=network.head, backbone=network.feature_extractor)


def feed(number: int) -> Iterator[Batch]:
    rng = torch.Generator().manual_seed(number)
    labels = torch.arange(4).repeat(3)
    for _ in range(3):
        yield torch.randn(12, 10, generator=rng) + labels[:, None], labels


def run(network: Dropping, trainer: TrainerState, until: int) -> list[float]:
    losses_seen = []
    for epoch in fit(network, trainer, feed):
        trainer.report_score(0.5 if epoch.number > 2 else 0.1 * epoch.number)
        losses_seen.append(epoch.loss)
        if epoch.number == until:
            break
    return losses_seen


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_run_that_goes_on_ends_as_if_it_had_never_stopped(name: str) -> None:
    network, trainer = stage(RECIPES[name])
    whole = run(network, trainer, until=6)

    first, before = stage(RECIPES[name])
    seen = run(first, before, until=3)
    stream = io.BytesIO()
    torch.save(before.state_dict(), stream)
    stream.seek(0)
    state: dict[str, Any] = torch.load(stream, weights_only=True)

    second, after = stage(RECIPES[name])
    torch.manual_seed(99)
    after.load_state_dict(state)
    seen += run(second, after, until=6)
    assert seen == whole
    with trainer.averaged(), after.averaged():
        for key, value in network.state_dict().items():
            assert torch.equal(value, second.state_dict()[key]), key


def test_the_backbone_stands_during_warm_up() -> None:
    network, trainer = stage(Recipe(epochs=3, warmup=2))
    start = network.feature_extractor[0].weight.detach().clone()  # type: ignore[operator]
    first = network.feature_extractor[0]
    assert isinstance(first, nn.Linear)
    moved = [not torch.equal(start, first.weight) for _ in fit(network, trainer, feed)]
    assert moved == [False, False, True]


def test_what_was_frozen_before_stays_frozen_after_warm_up() -> None:
    torch.manual_seed(0)
    network = Dropping()
    network.feature_extractor[0].requires_grad_(False)
    trainer = TrainerState(
        Recipe(epochs=3, warmup=1), losses.build("triplet", 4, 4), head=network.head, backbone=network.feature_extractor
    )
    start = network.feature_extractor[0].weight.detach().clone()  # type: ignore[operator]
    list(fit(network, trainer, feed))
    assert torch.equal(start, network.feature_extractor[0].weight)  # type: ignore[arg-type]


def test_accumulated_batches_make_the_step_of_their_mean() -> None:
    """For a loss that is a mean over images, two halves are one batch; without a moment, steps are equal too."""
    found = []
    x, y = next(iter(feed(1)))
    for accumulate, parts in ((1, 1), (2, 2)):
        torch.manual_seed(0)
        head, loss = nn.Linear(10, 4), losses.build("softmax", 4, 4)
        batches = list(zip(x.chunk(parts), y.chunk(parts), strict=True))
        recipe = Recipe(epochs=1, optimizer="sgd:momentum=0", accumulate=accumulate, clip="none", weight_decay=0.0)
        trainer = TrainerState(recipe, loss, head=head)
        list(fit(head, trainer, dict.fromkeys([1], batches).__getitem__))
        found.append(head.weight.detach())
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_a_last_batch_that_is_left_over_makes_a_step_too() -> None:
    torch.manual_seed(0)
    head, (x, y) = nn.Linear(10, 4), next(iter(feed(1)))
    start = head.weight.detach().clone()
    trainer = TrainerState(Recipe(epochs=1, accumulate=4), losses.build("triplet", 4, 4), head=head)
    list(fit(head, trainer, lambda _: [(x, y)]))
    assert not torch.equal(start, head.weight)


def test_the_average_is_shown_only_while_it_is_asked_for() -> None:
    network, trainer = stage(Recipe(epochs=2, ema=0.99, learning_rate=0.1))
    list(fit(network, trainer, feed))
    own = network.head.weight.detach().clone()
    with trainer.averaged():
        assert not torch.equal(own, network.head.weight)
    assert torch.equal(own, network.head.weight)
