"""Line charts: where values stand, and names that never stand on each other."""

from itertools import pairwise

import pytest

from dmlcli.pages.line_chart import line_chart


def test_the_lowest_and_highest_value_are_the_ends_of_the_axis() -> None:
    chart = line_chart("Loss", [3, 4, 5], {"loss": [4.0, 1.0, 2.0]})
    left, top, right, bottom = chart.box
    assert (chart.low, chart.high, chart.epochs, chart.level_y) == (1, 4, (3, 5), None)
    (line,) = chart.lines
    points = [tuple(map(float, point.split(","))) for point in line.points.split()]
    assert [x for x, _ in points] == [left, (left + right) / 2, right]
    assert [y for _, y in points] == pytest.approx([top, bottom, bottom - (bottom - top) / 3], abs=0.1)
    assert line.end == points[-1]


def test_given_ends_and_a_level_count_too() -> None:
    chart = line_chart("Share", [1, 2], {"active": [20, 30]}, ends=(0, 100))
    assert (chart.low, chart.high) == (0, 100)
    chart = line_chart("MAP@R", [1, 2], {"seen": [60, 70]}, level=50)
    assert chart.low == 50 and chart.level_y == chart.box[3]


def test_one_epoch_and_equal_values_have_a_place() -> None:
    chart = line_chart("Loss", [1], {"loss": [2.0]})
    left, top, _, bottom = chart.box
    assert chart.lines[0].end == (left, (top + bottom) / 2) and (chart.low, chart.high) == (1.5, 2.5)


def test_names_of_lines_that_end_together_are_below_each_other() -> None:
    series = {"seen": [1, 5.0], "unseen": [1, 4.99], "together": [0, 4.98]}
    heights = sorted(line.name_y for line in line_chart("MAP@R", [1, 2], series).lines)
    assert all(lower - upper >= 14 for upper, lower in pairwise(heights))
