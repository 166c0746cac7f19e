"""The check of an option's value, with one wording for the command line, recipe files and Python."""

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
    hint: str = "",
) -> None:
    """Raise UsageError where a value is of another type, none of the choices, or out of range.

    Args:
        option: as it is typed, for messages.
        kind: int, float or str; an integer is a valid float.
        value: to check.
        choices: the valid values; none: any.
        least: the smallest valid number; None: no limit.
        most: the largest valid number; None: no limit.
        hint: of a wrong type or number.
    """
    if choices:
        if value not in choices:
            message = f"invalid value for {option}: {value!r} (choose from {', '.join(choices)})"
            raise UsageError(message, hint=nearest(str(value), list(choices)))
    elif isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
        raise UsageError(f"invalid value for {option}: {value!r} (expected {_EXPECTED[kind]})", hint=hint)
    elif isinstance(value, int | float):
        if least is not None and not value >= least:
            raise UsageError(f"invalid {option} {value:g}: must be at least {least:g}", hint=hint)
        if most is not None and not value <= most:
            raise UsageError(f"invalid {option} {value:g}: must be at most {most:g}", hint=hint)
