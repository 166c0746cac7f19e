"""What a budget allows: read as it is written, kept back for what comes after, and never exceeded by the last epoch."""

import time

import pytest

from dmlcli.errors import UsageError
from dmlcli.learn.clock import EXPORT, Clock, Pace, seconds


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5m", 90)])
def test_times_are_read_as_people_write_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "10", "ten minutes", "5m junk", "10s"])
def test_what_is_no_time_or_too_short_is_answered(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        seconds(text)
    assert "--budget" in caught.value.hint


def test_without_a_budget_there_is_no_end() -> None:
    pace = Pace(Clock(), 5.0, again=True)
    assert pace.until() == float("inf") and pace.epochs(1, 20, 3.0, 1.0) == 20


def test_as_many_epochs_as_the_time_allows() -> None:
    """Of 100 s, 20 are kept back for the export and 10 for what follows: 70 s for epochs of 4 s and 1 s of judging."""
    pace = Pace(Clock(100.0), 10.0, again=False)
    assert pytest.approx(pace.until() - time.monotonic(), abs=0.5) == 100 - EXPORT - 10
    assert pace.epochs(1, 50, 4.0, 1.0) == pytest.approx(15, abs=1)
    assert pace.epochs(1, 5, 4.0, 1.0) == 5


def test_epochs_of_a_head_count_twice() -> None:
    once, twice = (Pace(Clock(100.0), 10.0, again=again).epochs(1, 50, 4.0, 0.0) for again in (False, True))
    assert once > 1.8 * twice
