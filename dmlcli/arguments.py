"""Names and paths as arguments: one or several, with `~` for the home folder.

A string is one name, not a list of its characters.
"""

import os
from collections.abc import Iterable

Name = str | os.PathLike[str]
Names = Name | Iterable[Name] | None


def names(given: Names, parameter: str) -> list[str]:
    """Return one name, or several, as a list; None as an empty one.

    Args:
        given: a str or path-like object, or an iterable of them.
        parameter: what the error calls it.

    Raises:
        TypeError: `given`, or something in it, is not a name.
    """
    if given is None:
        return []
    if isinstance(given, str | os.PathLike):
        return [_name(given, parameter)]
    if isinstance(given, bytes) or not isinstance(given, Iterable):
        raise TypeError(f"{parameter}: expected str, Path, or several of them, not {type(given).__name__}")
    return [_name(one, parameter) for one in given]


def _name(given: object, parameter: str) -> str:
    if not isinstance(given, str | os.PathLike):
        raise TypeError(f"{parameter}: expected str or Path, not {type(given).__name__}")
    return str(os.fsdecode(given))


def expand_home(path: str) -> str:
    """Return a path with the home folder in place of a `~` at its start, where the home folder is known."""
    return os.path.expanduser(path)  # noqa: PTH111  Path.expanduser raises an error where it is not known
