"""Lines over epochs or cosines: where an SVG has its lines, names and numbers. `templates/line_chart.html` draws it."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 440, 210  # of the image, in the units of all positions
_LEFT, _RIGHT, _ABOVE, _BELOW = 68, 72, 16, 46  # margins: numbers of the axis, names of lines, -, epochs
_MOST_TICKS = 6  # of an axis
_LINE = 14  # between the baselines of two names
_COLORS = ("accent", "good", "blue", "purple")  # of base.css


class Line(NamedTuple):
    """One line with its last point and its name."""

    points: str
    color: str
    end: tuple[float, float]
    name: str
    name_y: float


class Tick(NamedTuple):
    """A number of an axis."""

    at: float  # its position along the axis
    text: str


class Chart(NamedTuple):
    """One image."""

    title: str
    lines: list[Line]
    level_y: float | None  # of a dashed horizontal line
    values: list[Tick]  # on the vertical axis, the first and the last at its ends
    epochs: list[Tick]
    box: tuple[float, float, float, float]  # left, top, right and bottom of the lines


def line_chart(
    title: str,
    epochs: Sequence[float],
    series: Mapping[str, Sequence[float]],
    level: float | None = None,
    ends: tuple[float, float] | None = None,
) -> Chart:
    """Return a chart of series over epochs.

    Args:
        title: what the numbers are, with the unit.
        epochs: or cosines, ascending; one for each number of each series.
        series: by the name that is written at the end of the line, at most four.
        level: the value of a dashed horizontal line.
        ends: of the axis; None: 0, or the lowest value if that is negative, and the highest value.
    """
    values = [value for numbers in series.values() for value in numbers] + ([] if level is None else [level])
    numbers = ticks(*(ends or (min(0.0, *values), max(0.0, *values))))
    low, high = numbers[0], numbers[-1]
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
    on_axis = [Tick(position(epochs[0], value)[1], f"{value:g}") for value in numbers]
    whole = [epoch for epoch in ticks(epochs[0], epochs[-1], whole=True) if epochs[0] <= epoch <= epochs[-1]]
    return Chart(title, lines, level_y, on_axis, [Tick(position(epoch, low)[0], f"{epoch:g}") for epoch in whole], box)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return round numbers at equal distances, from one at or below `low` to one at or above `high`.

    Args:
        low: the smallest value.
        high: the largest value, at least `low`; if they are equal, the ticks are around them.
        whole: only whole numbers.

    >>> ticks(0, 21.98)
    [0, 5, 10, 15, 20, 25]
    """
    spread = high - low or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(spread / (_MOST_TICKS - 1)))
    step = next(size * factor for factor in (1, 2, 5, 10) if spread / (size * factor) <= _MOST_TICKS - 1)
    step = max(1.0, step) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{step * place:.12g}") for place in range(first, max(last, first + 1) + 1)]


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Return where names are written that would stand on each other: one line below the name above."""
    placed: dict[str, float] = {}
    lowest = 0.0
    for name in sorted(heights, key=lambda name: heights[name]):
        lowest = placed[name] = max(heights[name], lowest + _LINE)
    return placed
