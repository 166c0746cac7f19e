"""The parser of words with settings, `name:key=value,key=value`: --loss, --optimizer, --clip, --memory, --rerank, …

step:at=20,40,factor=0.5      a comma that no `key=` follows belongs to a list
norm:3                        short for the only setting that a word has
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from dmlcli.errors import UsageError, nearest

Value = float | int | bool | str | tuple[float, ...] | None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


_CONVERTERS: Mapping[str, Callable[[str], Value]] = {
    "int": int,
    "float": _finite,
    "ints": lambda text: tuple(int(part) for part in text.split(",")),
    "floats": lambda text: tuple(_finite(part) for part in text.split(",")),
}
_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "ints": "integers separated by commas",
    "floats": "numbers separated by commas",
    "bool": "true or false",
    "None": "none",
}


class WordSetting(NamedTuple):
    """One setting of a word.

    `kinds` are those of its values: `float`, `int`, `ints`, `floats`, `bool`, `None` or words.
    """

    name: str
    kinds: tuple[str, ...]
    default: Value
    meaning: str = ""
    least: float = -math.inf
    most: float = math.inf

    def parse(self, text: str) -> Value:
        """Return the value that was typed; raise ValueError stating what is expected."""
        if text.lower() in ("none", "null") and "None" in self.kinds:
            return None
        if "bool" in self.kinds and text.lower() in ("true", "false"):
            return text.lower() == "true"
        for kind, convert in _CONVERTERS.items():
            if kind in self.kinds:
                try:
                    return self._in_range(convert(text))
                except ValueError:
                    continue
        if text in self.choices:
            return text
        raise ValueError(f"expected {self._expected()}")

    @property
    def choices(self) -> tuple[str, ...]:
        """The words it takes."""
        return tuple(kind for kind in self.kinds if kind not in _EXPECTED)

    def _in_range(self, value: Value) -> Value:
        for number in value if isinstance(value, tuple) else (value,):
            if not isinstance(number, int | float) or not self.least <= number <= self.most:
                raise ValueError
        return value

    def _expected(self) -> str:
        *kinds, last = (_EXPECTED.get(kind, kind) for kind in self.kinds)
        text = f"{', '.join(kinds)} or {last}" if kinds else last
        if self.most < math.inf:
            return f"{text} from {self.least:g} to {self.most:g}"
        return text if self.least == -math.inf else f"{text} of at least {self.least:g}"


class Spec(NamedTuple):
    """A word with its settings: those that were given, and the defaults of all."""

    word: str
    given: Mapping[str, Value]
    defaults: Mapping[str, Value]

    def number(self, setting: str) -> float:
        """Return a setting that is one number."""
        value = self._value(setting)
        assert isinstance(value, int | float)
        return value

    def numbers(self, setting: str) -> tuple[float, ...]:
        """Return a setting that is a list of numbers."""
        value = self._value(setting)
        assert isinstance(value, tuple)
        return value

    def flag(self, setting: str) -> bool:
        """Return a setting that is true or false."""
        value = self._value(setting)
        assert isinstance(value, bool)
        return value

    def _value(self, setting: str) -> Value:
        return self.given.get(setting, self.defaults[setting])


def declare(**defaults: Value) -> tuple[WordSetting, ...]:
    """Return settings with these defaults, each of the kind of its default; numbers are at least 0."""
    kinds = {bool: "bool", int: "int", float: "float", tuple: "floats"}
    found = []
    for name, value in defaults.items():
        least = -math.inf if isinstance(value, bool) else 0
        found.append(WordSetting(name, (kinds[type(value)],), value, least=least))
    return tuple(found)


def parse(option: str, text: str, words: Mapping[str, Iterable[WordSetting]], hint: str = "") -> Spec:
    """Parse a word with its settings.

    Args:
        option: as it is typed, for messages.
        text: the value of the option.
        words: the valid words, with the settings of each.
        hint: for a value that is invalid; "": an example.

    Raises:
        UsageError: an unknown word or setting, a setting that is given twice, or a value of another kind or out of
            range.
    """
    word, colon, rest = text.partition(":")
    if word not in words:
        message = f"invalid value for {option}: '{word}' (choose from {', '.join(words)})"
        raise UsageError(message, hint=nearest(word, list(words)))
    settings = {setting.name: setting for setting in words[word]}
    if rest and "=" not in rest and len(settings) == 1:
        rest = f"{next(iter(settings))}={rest}"
    given = {}
    for pair in re.split(r",(?=[^,=]*=)", rest) if colon else []:  # a comma before no `key=` belongs to a list
        key, equals, value = pair.partition("=")
        if key not in settings or not equals:
            known = nearest(key, list(settings)) if settings else f"{word} has no settings"
            raise UsageError(f"invalid value for {option}: {word} has no setting '{key}'", hint=known)
        if key in given:
            raise UsageError(f"invalid value for {option}: {word}:{key} is given twice", hint=f"remove one {key}=")
        try:
            given[key] = settings[key].parse(value)
        except ValueError as error:
            example = f"{option} {word}:{key}={_shown(settings[key].default)}"
            raise UsageError(
                f"invalid value for {option}: {word}:{key}={value} ({error})", hint=hint or example
            ) from error
    return Spec(word, given, {setting.name: setting.default for setting in settings.values()})


def _shown(value: Value) -> str:
    """Return a default as an example of what to type; an empty list is none, so it is shown as two numbers."""
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value or (20, 40))
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
