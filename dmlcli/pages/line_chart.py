"""Lines over epochs: where an SVG has its lines, names and numbers. `templates/line_chart.html` draws it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 440, 190  # of the image, in the units of all positions
_LEFT, _RIGHT, _ABOVE, _BELOW = 68, 72, 16, 30  # margins: numbers of the axis, names of lines, -, epochs
_LINE = 14  # between the baselines of two names
_COLORS = ("accent", "good", "blue", "purple")  # of base.css


class Line(NamedTuple):
    """One line with its last point and its name."""

    points: str
    color: str
    end: tuple[float, float]
    name: str
    name_y: float


class Chart(NamedTuple):
    """One image."""

    title: str
    lines: list[Line]
    level_y: float | None  # of a dashed horizontal line
    low: float  # values at the ends of the axis
    high: float
    epochs: tuple[int, int]  # first and last
    box: tuple[float, float, float, float]  # left, top, right and bottom of the lines


def line_chart(
    title: str,
    epochs: Sequence[int],
    series: Mapping[str, Sequence[float]],
    level: float | None = None,
    ends: tuple[float, float] | None = None,
) -> Chart:
    """Return a chart of series over epochs.

    Args:
        title: what the numbers are, with the unit.
        epochs: one for each number of each series.
        series: by the name that is written at the end of the line, at most four.
        level: the value of a dashed horizontal line.
        ends: of the axis; None: the lowest and highest value.
    """
    values = [value for numbers in series.values() for value in numbers] + ([] if level is None else [level])
    low, high = ends or (min(values), max(values))
    low, high = (low - 0.5, high + 0.5) if high - low < 1e-12 else (low, high)
    left, top, right, bottom = box = _LEFT, _ABOVE, WIDTH - _RIGHT, HEIGHT - _BELOW

    def position(epoch: float, value: float) -> tuple[float, float]:
        x = left + (right - left) * (epoch - epochs[0]) / max(1, epochs[-1] - epochs[0])
        return round(x, 1), round(bottom - (bottom - top) * (value - low) / (high - low), 1)

    drawn = {name: [position(*pair) for pair in zip(epochs, numbers, strict=True)] for name, numbers in series.items()}
    names_y = _apart({name: positions[-1][1] + 4 for name, positions in drawn.items()})
    lines = [
        Line(" ".join(f"{x},{y}" for x, y in positions), color, positions[-1], name, names_y[name])
        for color, (name, positions) in zip(_COLORS, drawn.items(), strict=False)
    ]
    level_y = None if level is None else position(epochs[0], level)[1]
    return Chart(title, lines, level_y, low, high, (epochs[0], epochs[-1]), box)


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Return where names are written that would stand on each other: one line below the name above."""
    placed: dict[str, float] = {}
    lowest = 0.0
    for name in sorted(heights, key=lambda name: heights[name]):
        lowest = placed[name] = max(heights[name], lowest + _LINE)
    return placed
