"""The moving average: what it is, that it comes and goes, and that it can be saved."""

from typing import Any

import pytest
import torch
from torch import nn

from dmlcli.learn.training.ema import ExponentialMovingAverage


def test_it_follows_the_weights_and_gives_them_back() -> None:
    """From the first step on, where the decay is still below the one asked for."""
    module = nn.BatchNorm1d(3)
    average = ExponentialMovingAverage(module, decay=0.9)
    expected = torch.ones(3)
    for step in range(1, 101):
        with torch.no_grad():
            module.weight.fill_(float(step % 7))
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step % 7)
        with average.in_place():
            assert torch.allclose(module.weight, expected, atol=1e-5), step
        assert torch.equal(module.weight, torch.full((3,), float(step % 7)))


def test_the_first_step_counts_nine_elevenths() -> None:
    """min(0.999, (1 + 1) / (10 + 1)) of the start is left after one step, not 0.999 of it."""
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(0)
        average = ExponentialMovingAverage(module, 0.999)
        module.weight.fill_(11)
    average.update()
    with average.in_place():
        assert module.weight.item() == pytest.approx(9)


@pytest.mark.parametrize("damage", [{"mean": {}}, {"mean": {"weight": torch.zeros(1)}}, {"steps": "many"}])
def test_a_state_of_another_module_is_refused(damage: dict[str, Any]) -> None:
    average = ExponentialMovingAverage(nn.Linear(2, 2, bias=False), 0.5)
    with pytest.raises((KeyError, ValueError)):
        average.load_state_dict(average.state_dict() | damage)


def test_it_can_be_saved_and_taken_up_again() -> None:
    torch.manual_seed(0)
    module, other = nn.Linear(2, 2), nn.Linear(2, 2)
    average, again = ExponentialMovingAverage(module, 0.5), ExponentialMovingAverage(other, 0.5)
    with torch.no_grad():
        module.weight.add_(1)
    average.update()
    other.load_state_dict(module.state_dict())
    again.load_state_dict(average.state_dict())
    for linear, kept in ((module, average), (other, again)):
        with torch.no_grad():
            linear.weight.mul_(2)
        kept.update()
    with average.in_place(), again.in_place():
        assert torch.equal(module.weight, other.weight) and torch.equal(module.bias, other.bias)
