"""The check of an option's value, with one wording for the command line, recipe files and Python."""

import math
from typing import Any

from dmlcli.errors import UsageError, nearest

_EXPECTED = {int: "an integer", float: "a number", str: "text"}


def check(
    option: str,
    kind: Any,
    value: object,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    typed: str = "",
    hint: str = "",
) -> None:
    """Raise UsageError where a value is of another type, none of the choices, not finite, or out of range.

    Args:
        option: as it is typed, for messages.
        kind: int, float or str; an integer is a valid float.
        value: to check.
        choices: the valid values; none: any.
        least: the smallest valid number; None: no limit.
        most: the largest valid number; None: no limit.
        typed: the number as it was typed, for messages; "": as Python writes it.
        hint: of a wrong type or number.
    """
    if choices:
        if value not in choices:
            message = f"invalid value for {option}: {value!r} (choose from {', '.join(choices)})"
            raise UsageError(message, hint=nearest(str(value), list(choices)))
    elif isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        raise UsageError(f"invalid value for {option}: {value!r} (expected {_EXPECTED[kind]})", hint=hint)
    elif isinstance(value, int | float):
        problem = ""
        if isinstance(value, float) and not math.isfinite(value):
            problem = "a finite number"
        elif least is not None and value < least:
            problem = f"at least {least:g}"
        elif most is not None and value > most:
            problem = f"at most {most:g}"
        if problem:
            raise UsageError(f"invalid {option} {typed or value}: must be {problem}", hint=hint)
