"""How an option or argument of the command line is specified: what `options/` says of each, without importing Typer.

`cli/app.py` hands the specifications on to Typer, which parses, completes and shows the help; `cli/fast_parser.py`
reads them by itself where a command line is valid, because importing Typer takes as long as a query.
"""

import types
from typing import Any, Union, get_args, get_origin


class Spelling:
    """The names it goes by, and the settings that Typer knows for it (help, min, max, metavar, …)."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings


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
