"""Budgets: how they are written, and how many epochs they leave time for."""

import pytest

from dmlcli.errors import UsageError
from dmlcli.learn import time_budget
from dmlcli.learn.time_budget import EXPORT, EpochPlanner, TimeBudget


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("3m", 180), ("1h30m", 5400), ("1.5m", 90)])
def test_lengths_of_time_are_read(text: str, expected: float) -> None:
    assert time_budget.seconds(text) == expected


@pytest.mark.parametrize("text", ["", "3", "m", "3 m", "3d", "-3m", "10s"])
def test_what_is_no_length_of_time_or_too_little_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget|not a duration") as caught:
        time_budget.seconds(text)
    assert "--budget" in caught.value.hint


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr("dmlcli.learn.time_budget.time.monotonic", lambda: time[0])
    return time


def test_without_a_budget_time_never_ends() -> None:
    assert TimeBudget().left == float("inf") and not TimeBudget().is_limited


def planned(planner: EpochPlanner, done: int, most: int, fitting: float, evaluation: float) -> int:
    """Return the epochs there will be after one that was trained and scored in so many seconds."""
    planner.trained(fitting)
    planner.scored(evaluation)
    return planner.epochs(done, most)


def test_epochs_that_fit_are_counted_and_the_end_is_kept_free(now: list[float]) -> None:
    planner = EpochPlanner(TimeBudget(300), after=60, evaluation=10, refit_ratio=False)
    assert planner.until() == 1000 + 300 - EXPORT - 60 - 10
    now[0] += 60  # ten of them before the first epoch: 40 s of batches, 10 of judgement
    assert planned(planner, 1, 20, 40, 10) == 1 + 3  # 160 s are left: three more, and not a fifth of one
    assert planned(planner, 1, 2, 40, 10) == 2  # never more than were asked for
    now[0] += 150
    assert planned(planner, 4, 20, 40, 10) == 4


def test_a_part_of_an_epoch_is_worth_starting_from_a_third_on(now: list[float]) -> None:
    planner = EpochPlanner(TimeBudget(200 + EXPORT), after=0, evaluation=0, refit_ratio=False)
    now[0] += 100
    assert planned(planner, 1, 20, 250, 0) == 2  # four tenths of one
    assert planned(planner, 1, 20, 400, 0) == 1


def test_a_head_is_trained_twice(now: list[float]) -> None:
    planner = EpochPlanner(TimeBudget(100 + EXPORT), after=0, evaluation=0, refit_ratio=True)
    now[0] += 10
    assert planned(planner, 1, 50, 10, 0) == 1 + 4  # of the 90 s that are left, 10 go to the first, again


def test_an_epoch_ends_in_time_to_be_repeated_on_more_photos(now: list[float]) -> None:
    """Of 100 s, an epoch of 40 s leaves 60 for its final fit, which takes one and a half times as long."""
    planner = EpochPlanner(TimeBudget(100 + EXPORT), after=0, evaluation=0, refit_ratio=1.5)
    assert planner.until() == pytest.approx(1000 + 40)
    now[0] += 20
    assert planned(planner, 1, 50, 20, 0) == 2
    assert planner.until() == pytest.approx(1000 + 40)  # 60 s for the final fit of both


def test_if_scoring_takes_more_than_half_as_long_only_the_last_epoch_is_scored(now: list[float]) -> None:
    """Which leaves time for more epochs."""

    def after(seconds: float, evaluation: float, may_skip: bool = True) -> EpochPlanner:
        planner = EpochPlanner(TimeBudget(750 + seconds + EXPORT), after=0, evaluation=evaluation, refit_ratio=0)
        now[0] += seconds
        planner.trained(seconds, may_skip=may_skip)
        return planner

    assert not after(50, 25).scores_last_only and not after(50, 0).scores_last_only
    each, last = after(50, 100, may_skip=False), after(50, 100)
    assert not each.scores_last_only and last.scores_last_only
    assert each.epochs(1, 50) == 1 + 5  # 750 s: five times 50 + 100
    assert last.epochs(1, 50) == 1 + 13  # thirteen times 50, then 100
    last.trained(300, may_skip=True)
    assert last.scores_last_only  # the first epoch has decided
