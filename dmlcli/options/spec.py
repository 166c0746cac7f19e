"""How an option or argument of the command line is specified: what `options/` says of each, without importing Typer.

`cli/app.py` hands the specifications on to Typer, which parses, completes and shows the help; `cli/fast_parser.py`
reads them by itself where a command line is valid, because importing Typer takes as long as a query.
"""

import types
from collections.abc import Callable
from typing import Any, Union, get_args, get_origin


class Spelling:
    """Its names, its heading in the help, and the arguments for Typer (help, min, max, metavar, …)."""

    def __init__(self, *names: str, panel: str = "", **settings: Any) -> None:
        self.names, self.panel, self.settings = names, panel, settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.names)})"


class Option(Spelling):
    """`--name VALUE`, or a flag; without names it is called as its parameter is."""


class Argument(Spelling):
    """What stands by its place."""


def without_none(kind: Any) -> Any:
    """Return the one kind in `kind | None`; None where several are left."""
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [one for one in get_args(kind) if one is not type(None)]
        return kinds[0] if len(kinds) == 1 else None
    return kind


def documented(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add to a command's docstring what its parameters are, for `help()`; `summary` keeps the text of `--help`."""
    import inspect

    if not hasattr(function, "summary"):
        function.summary = inspect.cleandoc(function.__doc__ or "")  # type: ignore[attr-defined]
        lines = [
            f"    {name}: {get_args(parameter.annotation)[1].settings.get('help', '')}"
            for name, parameter in inspect.signature(function).parameters.items()
        ]
        function.__doc__ = "\n".join([function.summary, "", "Args:", *lines])  # type: ignore[attr-defined]
    return function
