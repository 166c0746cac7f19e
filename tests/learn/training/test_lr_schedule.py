"""The learning rate over a run, for every schedule there is."""

import math

import pytest

from dmlcli.learn.recipe import SCHEDULES, Recipe
from dmlcli.learn.training.lr_schedule import share


def shares(schedule: str, epochs: int, scores: tuple[float, ...] = ()) -> list[float]:
    return [
        share(Recipe(schedule=schedule).schedule_spec, number, epochs, scores[: number - 1])
        for number in range(1, epochs + 1)
    ]


def test_constant_and_cosine() -> None:
    assert shares("constant", 3) == [1, 1, 1]
    assert shares("cosine", 4) == pytest.approx([1, (1 + math.cos(math.pi / 4)) / 2, 0.5, 0.1464466])
    assert shares("cosine:to=0.5", 2) == pytest.approx([1, 0.75])


def test_step_falls_every_so_many_epochs_or_at_given_ones() -> None:
    assert shares("step:every=2,factor=0.5", 6) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert shares("step:at=1,4,factor=0.5", 6) == [1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert shares("step:at=0.5,factor=0.5", 4) == [1, 1, 0.5, 0.5]  # half of the run


def test_one_cycle_rises_then_falls() -> None:
    rates = shares("one-cycle:rise=0.3", 20)
    top = rates.index(max(rates))
    assert 5 <= top <= 6 and rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] < 0.1 and max(rates) > 0.95 and rates[-1] < 0.05


def test_a_plateau_is_left_when_the_score_stays_where_it_was() -> None:
    """As torch's ReduceLROnPlateau: more than `patience` epochs without a gain of the share `threshold`."""
    import torch

    scores = (0.1, 0.2, 0.2, 0.2001, 0.19, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=2, threshold=0.001)
    expected = []
    for score in scores:
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step(score)
    assert shares("plateau:patience=2,factor=0.5", len(scores), scores) == pytest.approx(expected)


@pytest.mark.parametrize("word", sorted(set(SCHEDULES) - {"one-cycle"}))
def test_a_ramp_climbs_from_a_hundredth(word: str) -> None:
    schedule = f"{word}:every=100,ramp=4" if word == "step" else f"{word}:ramp=4"
    without = shares(schedule.replace("ramp=4", "ramp=0"), 8)
    climb = [now / then for now, then in zip(shares(schedule, 8), without, strict=True)]
    assert climb == pytest.approx([0.01, 0.2575, 0.505, 0.7525, 1, 1, 1, 1])
