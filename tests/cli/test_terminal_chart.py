"""Charts in a terminal: dots are where the numbers are, and the axes name them."""

from dmlcli.cli import terminal_chart


def dots(rows: list[str]) -> set[tuple[int, int]]:
    """The dots (row, column) of rows of Braille characters, by their numbering in Unicode."""
    places = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
    return {
        (4 * y + down, 2 * x + right)
        for y, row in enumerate(rows)
        for x, sign in enumerate(row)
        for bit, (down, right) in enumerate(places)
        if ord(sign) - 0x2800 >> bit & 1
    }


def test_a_line_has_dots_at_its_values() -> None:
    rows = terminal_chart.line([0.0, 31.0], 0.0, 31.0, width=16)  # 32 dots each way
    assert dots(rows) == {(31 - place, place) for place in range(32)}


def test_a_step_has_no_gap_and_a_constant_is_one_row() -> None:
    step = dots(terminal_chart.line([0.0, 0.0, 31.0, 31.0], 0.0, 31.0, width=10))
    assert {row for row, _ in step} == set(range(32))
    assert {row for row, _ in dots(terminal_chart.line([5.0, 5.0], 0.0, 31.0, width=10))} == {26}


def test_charts_share_an_axis_and_fit_the_width() -> None:
    places = [-1.0, 0.0, 1.0]
    rows = terminal_chart.charts(places, {"left": [2.0, 1.0, 0.0], "right": [0.0, 0.0, -1.0]}, width=60)
    assert max(map(len, rows)) <= 60 and rows[0].split() == ["left", "right"]
    assert [row.split()[0] for row in rows if "┤" in row] == ["2", "1", "0", "-1"]
    assert rows[-1].split() == ["-1", "0", "1"] * 2 and rows[-2].count("┬") == 2
    middle = rows[-2].index("┬")
    assert rows[-1][middle] == "0"
    at_zero = next(row for row in rows if row.startswith(" 0 ┤"))
    assert "⠀" not in at_zero.split("┤")[2][:5]  # the right line starts at 0


def test_a_narrow_terminal_gets_narrow_charts() -> None:
    rows = terminal_chart.charts([-1.0, 0.0, 1.0], {"a": [0.0, 0.0, 0.0], "b": [0.0, 0.0, 0.0]}, width=10)
    assert len(rows) == 11 and len({len(row) for row in rows[1:-2]}) == 1
