"""The loop lowers the loss, keeps each parameter's pace, and stops when the loss is no number."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from dmlcli.errors import TrainingError
from dmlcli.learn import losses
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training.loop import Batch, fit
from dmlcli.learn.training.loss_setup import start_from_means
from dmlcli.learn.training.state import TrainerState


def sample() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat(8)
    return torch.randn(4, 10, generator=generator)[labels] + torch.randn(32, 10, generator=generator), labels


def test_training_lowers_the_loss_along_half_a_cosine() -> None:
    x, y = sample()
    torch.manual_seed(0)
    head = nn.Linear(10, 4)
    loss = losses.build("triplet", 4, 4)
    trainer = TrainerState(Recipe(epochs=10, learning_rate=1e-2), loss, head=head)
    epochs = list(fit(head, trainer, lambda number: [(x, y)] * 5))
    assert [epoch.number for epoch in epochs] == list(range(1, 11))
    assert epochs[-1].loss < 0.8 * epochs[0].loss
    rates = [epoch.learning_rate for epoch in epochs]
    assert rates == sorted(rates, reverse=True) and rates[0] == 1e-2 and rates[-1] < 1e-3


def test_each_epoch_gets_its_own_batches() -> None:
    x, y = sample()
    asked: list[int] = []

    def feed(number: int) -> Iterator[Batch]:
        asked.append(number)
        yield x, y

    head = nn.Linear(10, 4)
    list(fit(head, TrainerState(Recipe(epochs=3), losses.build("triplet", 4, 4), head=head), feed))
    assert asked == [1, 2, 3]


def moved(spec: str, *, backbone: bool = False) -> dict[str, float]:
    """How far one step of AdamW takes each part; a first step has the length of its learning rate."""
    x, y = sample()
    torch.manual_seed(0)
    head, feature_extractor, loss = nn.Linear(6, 4), nn.Linear(10, 6), losses.build(spec, 4, 4)
    parts = {"head": head.weight, "backbone": feature_extractor.weight, **dict(loss.named_parameters())}
    before = {name: parameter.detach().clone() for name, parameter in parts.items()}
    trainer = TrainerState(
        Recipe(epochs=1, weight_decay=0.0), loss, head=head, backbone=feature_extractor if backbone else None
    )
    list(fit(nn.Sequential(feature_extractor, head), trainer, lambda _: [(x, y)]))
    return {name: float((parameter.detach() - before[name]).abs().median()) for name, parameter in parts.items()}


def test_proxies_and_backbone_have_a_pace_of_their_own() -> None:
    steps = moved("proxy-anchor", backbone=True)
    assert steps["head"] == pytest.approx(1e-3, rel=0.1)
    assert steps["backbone"] == pytest.approx(1e-4, rel=0.1)
    assert steps["proxies"] == pytest.approx(1e-1, rel=0.1)


def test_a_backbone_that_is_not_given_is_not_trained() -> None:
    assert moved("triplet")["backbone"] == 0


def test_each_loss_of_a_sum_keeps_its_own_pace() -> None:
    steps = moved("contrastive+0.5*proxy-anchor")
    (name,) = [name for name in steps if name.endswith("proxies")]
    assert steps[name] == pytest.approx(1e-1, rel=0.1)


def test_a_loss_that_is_no_number_stops_with_a_hint() -> None:
    x, y = sample()
    head = nn.Linear(10, 4)
    loss = losses.build("softmax", 4, 4)
    with torch.no_grad():
        head.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="epoch 1") as caught:
        list(fit(head, TrainerState(Recipe(epochs=2), loss, head=head), lambda _: [(x, y)]))
    assert "--learning-rate" in caught.value.hint


class Odd(nn.Module):
    """A loss whose value is finite, and its slope or its embeddings are not."""

    sampler, takes_references, learning_rate_factor = "random", False, 1.0

    def __init__(self, slope: float, wait: int = 0) -> None:
        super().__init__()
        self.slope, self.wait = slope, wait

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        self.wait -= 1
        slope = self.slope if self.wait < 0 else 1.0
        return (embeddings - embeddings.detach()).sum() * slope + 1


@pytest.mark.parametrize(
    ("slope", "start", "what"),
    [
        (float("nan"), 1.0, "loss"),
        (1e38, 1e3, "gradient"),
        (0.0, float("inf"), "lengths of the embeddings"),
        (0.0, 1e30, "lengths of the embeddings"),  # finite, and too long to be normalized
    ],
)
@pytest.mark.parametrize("clip", ["value:10", "none"])
def test_what_is_not_finite_is_named_with_epoch_and_step(slope: float, start: float, what: str, clip: str) -> None:
    """Also where the value of the loss looks well, and where clipping would hide it."""
    x, y = sample()
    head = nn.Linear(10, 4)
    with torch.no_grad():
        head.weight.fill_(start)
    trainer = TrainerState(Recipe(epochs=2, learning_rate=0, clip=clip), Odd(slope), head=head)
    with pytest.raises(TrainingError, match=f"epoch 1, step 1: NaN or infinity in the {what}"):
        list(fit(head, trainer, lambda _: [(x, y)]))


def test_the_step_that_diverges_is_counted() -> None:
    x, y = sample()
    head = nn.Linear(10, 4)
    trainer = TrainerState(Recipe(epochs=3, learning_rate=0), Odd(float("nan"), wait=7), head=head)
    with pytest.raises(TrainingError, match="epoch 2, step 3"):
        list(fit(head, trainer, lambda _: [(x, y)] * 5))


def test_weights_that_the_last_step_ruined_are_noticed() -> None:
    x, y = sample()
    head = nn.Linear(10, 4)
    asked = Recipe(epochs=1, learning_rate=1e38, optimizer="sgd", clip="none", weight_decay=0)
    with pytest.raises(TrainingError, match="at the end of epoch 1: NaN or infinity in the squared weights"):
        list(fit(head, TrainerState(asked, Odd(1e3), head=head), lambda _: [(x, y)]))


def test_the_last_step_of_an_epoch_is_the_mean_of_the_batches_that_are_left() -> None:
    """Of three batches by twos: a step along the mean of two gradients, and one along the third."""
    head = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        head.weight.fill_(100)
    parts = [(torch.full((2, 1), value), torch.zeros(2, dtype=torch.long)) for value in (1.0, 3.0, 5.0)]
    asked = Recipe(
        epochs=1,
        accumulate=2,
        learning_rate=1,
        optimizer="sgd:momentum=0",
        clip="none",
        schedule="constant",
        weight_decay=0,
    )
    list(fit(head, TrainerState(asked, Odd(1.0), head=head), lambda _: parts))
    assert head.weight.item() == pytest.approx(100 - (2 * 1 + 2 * 3) / 2 - 2 * 5)


@pytest.mark.parametrize(("name", "parameter"), [("proxy-anchor", "proxies"), ("normalized-softmax", "weight")])
def test_proxies_start_from_the_means(name: str, parameter: str) -> None:
    x, y = sample()
    loss = losses.build(name, 4, 10)
    start_from_means(loss, x, y)
    unit = nn.functional.normalize(x, dim=-1)
    means = nn.functional.normalize(torch.stack([unit[y == label].mean(0) for label in range(4)]), dim=-1)
    assert torch.allclose(getattr(loss, parameter), means, atol=1e-5)


def test_proxies_of_a_sum_start_from_the_means() -> None:
    x, y = sample()
    total, alone = losses.build("contrastive+0.5*proxy-anchor", 4, 10), losses.build("proxy-anchor", 4, 10)
    start_from_means(total, x, y)
    start_from_means(alone, x, y)
    (proxies,) = [parameter for name, parameter in total.named_parameters() if name.endswith("proxies")]
    assert torch.equal(proxies, dict(alone.named_parameters())["proxies"])
