"""A query that is plainly right, read without Typer: its import alone would double the time to an answer.

The signature of the command is the command line here too. Whatever is not understood (a mistake, an abbreviation, help)
is left to Typer, which reads the same signature and knows how to say what is wrong.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from dmlcli.cli import global_options, settings
from dmlcli.options.spec import Argument, Option, without_none


class _NotPlain(Exception):
    """The line is not plainly right."""


def read(command: Callable[..., Any], words: list[str]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The values of the command's own options and of the terminal's, as far as they are given; None: ask Typer."""
    if settings.is_there():
        return None
    try:
        return _read(command, [settings.expand_home(word) for word in words])
    except (_NotPlain, StopIteration):
        return None


def _read(command: Callable[..., Any], words: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    beside = global_options.printing(command.__name__)
    options, arguments = _spellings(command, beside)
    values: dict[str, Any] = {}
    free: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            free.append(word)
            continue
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name not in options:
            raise _NotPlain
        parameter, kind, settings = options[name]
        _set(values, parameter, kind, settings, iter([value]) if equals else rest, bool(equals))
    if free:
        if len(arguments) != 1 or get_origin(arguments[0][1]) is not list:
            raise _NotPlain
        values[arguments[0][0]] = free
    asked = {name: values.pop(name) for name in beside if name in values}
    return values, asked


def _spellings(
    command: Callable[..., Any], beside: global_options.Taken
) -> tuple[dict[str, tuple[str, Any, dict[str, Any]]], list[tuple[str, Any]]]:
    """Every name of an option with its parameter, kind and settings; and the arguments."""
    options, arguments = {}, []
    own = [(name, parameter.annotation) for name, parameter in inspect.signature(command).parameters.items()]
    for name, annotation in (*own, *((name, annotation) for name, (annotation, _) in beside.items())):
        kind, spelling = get_args(annotation)
        kind = without_none(kind)
        if isinstance(spelling, Argument):
            arguments.append((name, kind))
        elif isinstance(spelling, Option):
            for spelt in spelling.names or ("--" + name.replace("_", "-"),):
                options[spelt] = (name, kind, spelling.settings)
    return options, arguments


def _set(
    values: dict[str, Any], name: str, kind: Any, settings: dict[str, Any], words: Iterator[str], equals: bool
) -> None:
    if kind is bool:
        if equals:
            raise _NotPlain
        values[name] = True
    elif get_origin(kind) is list:
        values.setdefault(name, []).append(_value(get_args(kind)[0], settings, next(words)))
    else:
        values[name] = _value(kind, settings, next(words))


def _value(kind: Any, settings: dict[str, Any], word: str) -> Any:
    if word.startswith("-") and word != "-":  # perhaps a negative number, perhaps a value that was forgotten
        raise _NotPlain
    if "parser" in settings:
        return settings["parser"](word)
    if get_origin(kind) is Literal and word in get_args(kind):
        return word
    if kind is str:
        return word
    if kind is Path:
        return Path(word)
    if kind in (int, float):
        return _number(kind, settings, word)
    raise _NotPlain


def _number(kind: Any, settings: dict[str, Any], word: str) -> Any:
    if not word.isascii() or not word.replace(".", "", kind is float).isdecimal():
        raise _NotPlain
    number = kind(word)
    low, high = settings.get("min"), settings.get("max")
    if (low is not None and number < low) or (high is not None and number > high):
        raise _NotPlain
    return number
