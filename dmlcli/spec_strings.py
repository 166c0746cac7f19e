"""The grammar of words with settings, `name:key=value,key=value`: that of --loss, --optimizer, --clip, --rerank, …

step:at=20,40,factor=0.5      a comma that no `key=` follows belongs to a list
norm:3                        short for the only setting that a word has
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from dmlcli.errors import UsageError, nearest

Value = float | bool | tuple[float, ...]
Words = Mapping[str, Mapping[str, Value]]  # word -> its settings with their defaults


class Spec(NamedTuple):
    """A word and all of its settings, as given or by default."""

    word: str
    settings: Mapping[str, Value]

    def number(self, name: str) -> float:
        """Return a setting that is one number."""
        value = self.settings[name]
        assert isinstance(value, float)
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a setting that is a list of numbers."""
        value = self.settings[name]
        assert isinstance(value, tuple)
        return value


def split(text: str) -> tuple[str, dict[str, str | None]]:
    """Return the word and its settings as they are written; None as the value of a setting without `=`."""
    word, _, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in re.split(r",(?=[^,=]*=)", rest) if pair]
    return word, {key: value if equals else None for key, equals, value in pairs}


def parse(option: str, text: str, words: Words) -> Spec:
    """Read a word with its settings.

    Args:
        option: as it is typed, for messages.
        text: its value.
        words: the words that the option takes.

    Raises:
        UsageError: an unknown word or setting, or a value of another kind.
    """
    word, given = split(text)
    if word not in words:
        raise UsageError(f"invalid {option} '{word}'", hint=nearest(word, list(words)))
    defaults = words[word]
    settings = dict(defaults)
    if len(defaults) == 1 and list(given.values()) == [None]:
        given = dict.fromkeys(defaults, next(iter(given)))
    for key, value in given.items():
        if key not in defaults or value is None:
            hint = nearest(key, list(defaults)) if defaults else f"{word} has no settings"
            raise UsageError(f"invalid {option} '{text}': {word} has no setting '{key}'", hint=hint)
        try:
            settings[key] = _read(value, defaults[key])
        except ValueError as error:
            raise UsageError(f"invalid {option} '{text}': {key} takes {_kind(defaults[key])}") from error
    return Spec(word, settings)


def _read(text: str, like: Value) -> Value:
    if isinstance(like, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    numbers = tuple(float(part) for part in text.split(","))
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError(text)
    if isinstance(like, tuple):
        return numbers
    (number,) = numbers
    return number


def _kind(like: Value) -> str:
    return {bool: "true or false", tuple: "numbers separated by commas"}.get(type(like), "a number from 0 up")
