"""The time that is left: by what is expected at first, then by what was measured."""

import pytest

from dmlcli.cli.run_clock import RunClock


class Time:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(time: Time) -> RunClock:
    return RunClock({"load": 10.0, "features": 40.0, "index": 10.0}, time)


def test_at_first_the_expectations_count(clock: RunClock, time: Time) -> None:
    assert (clock.left, clock.elapsed, clock.share) == (60.0, 0.0, 0.0)
    clock.begin("load")
    time.now += 4
    assert clock.left == pytest.approx(56) and clock.share == pytest.approx(4 / 60)


def test_a_stage_that_takes_longer_makes_the_later_ones_longer(clock: RunClock, time: Time) -> None:
    clock.begin("load")
    time.now += 30  # overdue: three times as long as expected
    assert clock.left == pytest.approx((10 + 30) / (10 + 10) * 50)
    clock.begin("features")
    assert clock.left == pytest.approx(2 * 50)


def test_a_stage_with_fewer_parts_than_it_seemed_ends_sooner(clock: RunClock, time: Time) -> None:
    """After one part of ten, of which only four will come."""
    clock.begin("load")
    clock.begin("features", parts=10)
    for done in range(1, 11):
        time.now += 10
        clock.advance(done / 10)
    clock.end_part()
    assert clock.left > 900
    clock.correct(4)
    assert clock.stage_share() == 0.25 and clock.left - clock._pace() * 10 == pytest.approx(300)


def test_a_stage_that_is_on_its_way_counts_by_its_own_pace(clock: RunClock, time: Time) -> None:
    clock.begin("load")
    time.now += 10
    clock.begin("features", parts=2)
    time.now += 5  # preparation
    clock.advance(0.02)
    for done in (0.2, 0.4):
        time.now += 10
        clock.advance(done)
    # 0.19 of the stage took 20 s: 0.8 are left
    assert clock.left == pytest.approx(20 / 0.19 * 0.8 + 10, rel=0.01)
    before = clock.left
    time.now += 3
    assert clock.left == pytest.approx(before - 3, rel=0.01)
    clock.end_part()
    assert clock.stage_share() == 0.5


def test_it_never_counts_down_below_what_the_next_advance_needs(clock: RunClock, time: Time) -> None:
    clock.begin("features", parts=4)
    time.now += 10
    clock.end_part()
    assert clock.left == pytest.approx(30 + 10)
    time.now += 50  # the second part has taken 50 s already, so four take at least 120 s
    assert clock.left >= 120 - 60


def test_stages_that_are_skipped_or_added_on_the_way(clock: RunClock, time: Time) -> None:
    clock.begin("load")
    time.now += 10
    clock.begin("fine-tuning")
    assert clock.stages == ["load", "fine-tuning", "features", "index"]
    clock.begin("index")
    assert clock.left == pytest.approx(10)  # features were skipped
    clock.expect("index", 3.0)
    assert clock.left == pytest.approx(3)
    clock.expect("nothing of this run", 99.0)
    time.now += 1
    clock.begin("")
    assert (clock.left, clock.share) == (0.0, 1.0)
