"""Charts of lines in a terminal, drawn with Braille characters of 2 x 4 dots."""

from collections.abc import Mapping, Sequence

from dmlcli.pages.line_chart import ticks

_BLANK = 0x2800  # the Braille character without dots
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # by column and row of a character
_HEIGHT = 8  # rows of a chart
_GAP = "   "


def charts(places: Sequence[float], series: Mapping[str, Sequence[float]], width: int) -> list[str]:
    """Return the rows of charts side by side, one for each series, with one vertical axis.

    Args:
        places: horizontal places of the numbers, ascending at equal distances, the middle one 0.
        series: the numbers by the title of their chart.
        width: of all charts together, in characters.
    """
    every = [value for values in series.values() for value in values]
    axis = ticks(min(0.0, *every), max(0.0, *every))
    low, high = axis[0], axis[-1]
    texts = {_dot(tick, low, high) // 4: f"{tick:g}" for tick in axis}
    margin = max(map(len, texts.values()))
    across = max((width - margin) // len(series) - len(_GAP), 9)
    rows = [("", [f" {title:<{across}}" for title in series])]
    for number, parts in enumerate(zip(*(line(values, low, high, across) for values in series.values()), strict=True)):
        rows.append((texts.get(number, ""), [("┤" if number in texts else "│") + part for part in parts]))
    rows += [("", [part] * len(series)) for part in _below(places, across)]
    return [f"{text:>{margin}} {_GAP.join(parts)}".rstrip() for text, parts in rows]


def line(values: Sequence[float], low: float, high: float, width: int) -> list[str]:
    """Return the rows of a line without gaps.

    Args:
        values: the numbers, from left to right at equal distances.
        low: the number at the bottom.
        high: the number at the top.
        width: characters.
    """
    columns = 2 * width
    masks = [[0] * width for _ in range(_HEIGHT)]
    before = None
    for column in range(columns):
        dot = _dot(_between(values, column / (columns - 1)), low, high)
        first, last = sorted((dot, dot if before is None else before + (dot > before) - (dot < before)))
        for one in range(first, last + 1):
            masks[one // 4][column // 2] |= _DOTS[column % 2][one % 4]
        before = dot
    return ["".join(chr(_BLANK + mask) for mask in masks_of_row) for masks_of_row in masks]


def _dot(value: float, low: float, high: float) -> int:
    """Return how many dots a number is below the top."""
    return round((4 * _HEIGHT - 1) * (high - value) / (high - low))


def _between(values: Sequence[float], share: float) -> float:
    """Return the number at a share of the way from the first to the last, interpolated."""
    place = share * (len(values) - 1)
    left = min(int(place), len(values) - 2)
    return values[left] + (place - left) * (values[left + 1] - values[left])


def _below(places: Sequence[float], width: int) -> list[str]:
    """Return a horizontal axis of so many characters, and the first, the middle and the last place."""
    left = width // 2
    right = width - left - 1
    return [f"└{'─' * left}┬{'─' * right}", f" {places[0]:<{left}g}0{places[-1]:>{right}g}"]
