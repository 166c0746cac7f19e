"""Line charts: where values stand, and names that never stand on each other."""

from itertools import pairwise

import pytest

from dmlcli.pages.line_chart import Tick, line_chart, ticks


def texts(ticks: list[Tick]) -> list[str]:
    return [tick.text for tick in ticks]


def test_the_axis_begins_at_zero_and_has_round_numbers() -> None:
    chart = line_chart("Loss", [3, 4, 5], {"loss": [21.98, 1.0, 12.5]})
    left, top, right, bottom = chart.box
    assert texts(chart.values) == ["0", "5", "10", "15", "20", "25"] and texts(chart.epochs) == ["3", "4", "5"]
    assert (chart.values[0].at, chart.values[-1].at, chart.level_y) == (bottom, top, None)
    assert [tick.at for tick in chart.epochs] == [left, (left + right) / 2, right]
    (line,) = chart.lines
    points = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert [x for x, _ in points] == [left, (left + right) / 2, right]
    heights = [bottom - (bottom - top) * value / 25 for value in (21.98, 1, 12.5)]
    assert [y for _, y in points] == pytest.approx(heights, abs=0.1) and line.end == points[-1]


def test_given_ends_and_a_level_count_too() -> None:
    chart = line_chart("Share", [1, 2], {"active": [20, 30]}, ends=(0, 100))
    assert texts(chart.values) == ["0", "20", "40", "60", "80", "100"]
    chart = line_chart("MAP@R", [1, 2], {"seen": [60, 70]}, level=40, ends=(40, 80))
    assert chart.values[0].text == "40" and chart.level_y == chart.box[3]


def test_a_negative_value_extends_the_axis() -> None:
    assert texts(line_chart("Loss", [1, 2], {"loss": [-1.5, 2]}).values) == ["-2", "-1", "0", "1", "2"]


def test_one_epoch_and_equal_values_have_a_place() -> None:
    chart = line_chart("Loss", [1], {"loss": [0.0]})
    left, _, _, bottom = chart.box
    assert chart.lines[0].end == (left, bottom) and texts(chart.epochs) == ["1"]


@pytest.mark.parametrize("high", [0.00073, 0.001, 1.0, 3, 99.9, 100, 12345.6])
def test_ticks_are_few_equal_steps_around_all_values(high: float) -> None:
    found = ticks(0, high)
    steps = {round(later - earlier, 9) for earlier, later in pairwise(found)}
    assert len(steps) == 1 and 3 <= len(found) <= 7 and found[0] == 0 and found[-2] < high <= found[-1]


def test_epochs_are_whole_numbers() -> None:
    assert texts(line_chart("Loss", list(range(1, 21)), {"loss": [1.0] * 20}).epochs) == ["5", "10", "15", "20"]


def test_names_of_lines_that_end_together_are_below_each_other() -> None:
    series = {"seen": [1, 5.0], "unseen": [1, 4.99], "together": [0, 4.98]}
    heights = sorted(line.name_y for line in line_chart("MAP@R", [1, 2], series).lines)
    assert all(lower - upper >= 14 for upper, lower in pairwise(heights))
