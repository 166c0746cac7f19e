"""The check of an option's value, which command line, recipe files and Python share."""

import math
from typing import Any

import pytest

from dmlcli.errors import UsageError
from dmlcli.option_values import check


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("limits", [{}, {"least": 0}, {"most": 1}, {"least": 0, "most": 1}])
def test_numbers_are_finite(value: float, limits: Any) -> None:
    with pytest.raises(UsageError, match=rf"^invalid --x {value}: must be a finite number$"):
        check("--x", float, value, **limits)


@pytest.mark.parametrize(
    ("value", "typed", "shown"),
    [(12345678, "", "12345678"), (1.23456789, "", "1.23456789"), (1e9, "1000000000.0", "1000000000.0")],
)
def test_a_number_out_of_range_is_shown_as_it_was_typed(value: float, typed: str, shown: str) -> None:
    with pytest.raises(UsageError, match=f"^invalid --x {shown}: must be at most 1$"):
        check("--x", float, value, most=1, typed=typed)
    with pytest.raises(UsageError, match=f"^invalid --x -{shown}: must be at least 0$"):
        check("--x", float, -value, least=0, typed=typed and f"-{typed}")


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [(int, 1.5, "an integer"), (int, True, "an integer"), (float, "1", "a number"), (str, 1, "text")],
)
def test_a_value_of_another_type_is_refused(kind: Any, value: object, expected: str) -> None:
    with pytest.raises(UsageError, match=rf"\(expected {expected}\)"):
        check("--x", kind, value)


def test_the_ends_of_a_range_and_whole_numbers_are_valid() -> None:
    check("--x", float, 0, least=0, most=1)
    check("--x", float, 1.0, least=0, most=1)
    check("--x", int, 10**30)
    check("--x", str, "a", choices=("a", "b"))
