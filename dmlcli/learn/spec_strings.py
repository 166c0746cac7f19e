"""Words with settings, such as `step:every=10,factor=0.5`: which optimizers, schedules and clippings there are.

No torch in here: a misspelt word is answered before anything is read.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from dmlcli.errors import UsageError, nearest

Value = float | bool | tuple[float, ...]
Words = Mapping[str, Mapping[str, Value]]  # word -> its settings with their defaults

_RAMP: Mapping[str, Value] = {"ramp": 0.0}  # epochs in which the rate climbs from a hundredth to its full height
OPTIMIZERS: Words = {
    "adamw": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False},  # decay is added to the gradient
    "sgd": {"momentum": 0.9, "nesterov": False},
}
SCHEDULES: Words = {
    "constant": _RAMP,
    "cosine": {"to": 0.0, **_RAMP},  # falls along half a cosine to this share of the rate
    "step": {"every": 0.0, "at": (), "factor": 0.1, **_RAMP},  # epochs; below 1 they are shares of the run
    "one-cycle": {"rise": 0.1},  # share of the run in which the rate rises, then it falls along half a cosine
    "plateau": {"patience": 4.0, "factor": 0.1, "threshold": 0.001, **_RAMP},  # epochs without a better score
}
CLIPS: Words = {"value": {"max": 10.0}, "norm": {"max": 1.0}, "none": {}}


@dataclass(frozen=True)
class Spec:
    """A word and all of its settings, as asked for or by default."""

    word: str
    settings: Mapping[str, Value]

    def number(self, name: str) -> float:
        """A setting that is one number."""
        value = self.settings[name]
        assert isinstance(value, float)
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """A setting that is a list of numbers."""
        value = self.settings[name]
        assert isinstance(value, tuple)
        return value


def parse(option: str, text: str, words: Words) -> Spec:
    """Read `word:key=value,key=value`; raises UsageError naming the nearest that is right.

    `value:10` and `norm:3` are short for the only setting that there is.
    """
    word, _, rest = text.partition(":")
    if word not in words:
        raise UsageError(f"{option} takes no '{word}'", hint=nearest(word, list(words)))
    defaults = words[word]
    settings = dict(defaults)
    if rest and "=" not in rest and len(defaults) == 1:
        rest = f"{next(iter(defaults))}={rest}"
    for pair in filter(None, re.split(r",(?=[^,=]*=)", rest)):  # a comma before no `key=` belongs to a list
        key, equals, value = pair.partition("=")
        if key not in defaults or not equals:
            known = nearest(key, list(defaults)) if defaults else f"{word} has no settings"
            raise UsageError(f"{option} {word} has no setting '{pair}'", hint=known)
        try:
            settings[key] = _read(value, defaults[key])
        except ValueError as error:
            raise UsageError(f"{option} {word}: {key} takes {_kind(defaults[key])}, not '{value}'") from error
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
