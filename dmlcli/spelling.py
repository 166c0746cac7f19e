"""How an option or argument of the command line is spelt: what `options/` says of each, without the weight of Typer.

`cli/app.py` hands every spelling on to Typer, which parses, completes and shows the help; `cli/quick.py` reads the same
spellings by itself where a line is plainly right, because importing Typer takes as long as answering a query.
"""

from typing import Any


class Spelling:
    """The names it goes by, and the settings that Typer knows for it (help, min, max, metavar, …)."""

    def __init__(self, *names: str, **settings: Any) -> None:
        self.names, self.settings = names, settings


class Option(Spelling):
    """`--name VALUE`, or a flag; without names it is called as its parameter is."""


class Argument(Spelling):
    """What stands by its place."""
