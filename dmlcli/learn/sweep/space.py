"""The search space of a sweep: which settings of a recipe are tried, and in which ranges around those that it has."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from dmlcli.errors import UsageError
from dmlcli.learn import losses
from dmlcli.learn.losses import Term
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.setting import format_value
from dmlcli.spec_strings import Value, WordSetting

LOSSES = ("proxy-anchor", "multi-similarity", "triplet", "supcon", "arcface", "proxy-nca-pp")  # one of each kind
HEADS = ("linear", "mlp", "bnneck", "layernorm")
AUTO = "auto"  # the sampler that loss and catalog need
SAMPLERS = (AUTO, "balanced", "pk", "category-pk")
_IMAGES = (2, 4, 8)  # of a product in a batch: least, default, most
_WIDE, _NARROW = 10.0, 3.0  # factors up and down: of rates, and of the settings of a loss
_DIGITS = 3  # of a number in a recipe; more do not change a score
_ENDS = (_NARROW, 2.0, 1.5)  # factors to try, because a loss rejects values out of its range


class Parameter(NamedTuple):
    """One parameter of the search: choices, or a range of numbers on a logarithmic scale."""

    name: str
    default: Any
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False  # integers


Values = Callable[[Parameter], Any]  # the value of each parameter


class Draws(Protocol):
    """What draws values by the names of parameters: a trial of Optuna."""

    @property
    def suggest_categorical(self) -> Callable[[str, Sequence[Any]], Any]: ...

    @property
    def suggest_float(self) -> Callable[..., float]: ...

    @property
    def suggest_int(self) -> Callable[..., int]: ...


@dataclass(frozen=True)
class Space:
    """The recipes that a sweep may try: the settings of one recipe, some of them replaced.

    Attributes:
        base: the recipe; its settings are the defaults of the parameters.
        losses: what `--losses` lists; the settings given there are not searched.
        fixed: names of settings of the recipe that are not searched.
        poolings: those whose features are known, that of `base` first.
        samplers: the values of `--sampler` to try, AUTO among them.
    """

    base: Recipe
    losses: tuple[str, ...]
    fixed: frozenset[str] = frozenset()
    poolings: tuple[str, ...] = ()
    samplers: tuple[str, ...] = SAMPLERS

    @property
    def largest_dim(self) -> int:
        """The largest dimension that is tried."""
        return self.base.dim if "dim" in self.fixed else 2 * self.base.dim

    def draw(self, trial: Draws) -> Recipe:
        """Return the recipe of a trial, whose parameters are drawn one after the other."""
        return self._recipe(lambda parameter: _drawn(trial, parameter))

    def defaults(self) -> dict[str, Any]:
        """Return the parameters of `base` by name."""
        found: dict[str, Any] = {}

        def default(parameter: Parameter) -> Any:
            found[parameter.name] = parameter.default
            return parameter.default

        self._recipe(default)
        return found

    def _recipe(self, value: Values) -> Recipe:
        """Return `base` with the settings that `value` gives for each parameter."""
        loss = self.losses[0]
        if len(self.losses) > 1:
            loss = value(Parameter("loss", self.losses[0], choices=self.losses))
        terms = [_with_settings(term, value) for term in losses.parse(loss)]
        changed: dict[str, Any] = {"loss": "+".join(map(_written, terms))}
        for parameter in self._own(terms):
            if parameter.name not in self.fixed:
                changed[parameter.name] = value(parameter)
        sampler = changed.get("sampler", self.base.sampler)
        if sampler in ("pk", "category-pk") and "images_per_product" not in self.fixed:
            images = self.base.images_per_product or _IMAGES[1]
            low, high = min(images, _IMAGES[0]), max(images, _IMAGES[2])
            parameter = Parameter("images_per_product", images, low=low, high=high, whole=True)
            changed[parameter.name] = value(parameter)
        if changed.get("sampler") == AUTO:
            changed["sampler"] = None
        if self.poolings and changed.get("pooling") == self.poolings[0]:
            changed["pooling"] = self.base.pooling
        if "loss_factor" in changed:  # the parameter is a factor on what the loss sets
            own = max(losses.describe(term.name).learning_rate_factor for term in terms)
            changed["loss_factor"] = None if changed["loss_factor"] == 1 else _rounded(own * changed["loss_factor"])
        return replace(self.base, **changed)

    def _own(self, terms: Sequence[Term]) -> Iterator[Parameter]:
        """Yield the parameters that are not settings of the loss."""
        base = self.base
        for name in ("learning_rate", "weight_decay"):
            middle = getattr(base, name)
            if middle > 0:
                yield Parameter(name, middle, low=middle / _WIDE, high=middle * _WIDE)
        if any(losses.describe(term.name).parameters for term in terms) and base.loss_factor is None:
            yield Parameter("loss_factor", 1.0, low=1 / _WIDE, high=_WIDE)
        batches = [size for size in (base.batch_size // 4, base.batch_size // 2, base.batch_size) if size >= 16]
        if len(batches) > 1:
            yield Parameter("batch_size", base.batch_size, choices=tuple(batches))
        needs = [losses.describe(term.name).sampler for term in terms]
        if base.sampler is None and "n-pair" not in needs:  # which needs exactly two images of each product
            yield Parameter("sampler", AUTO, choices=self.samplers)
        if base.head in HEADS:
            yield Parameter("head", base.head, choices=HEADS)
        sizes = tuple(size for size in (base.dim // 2, base.dim, self.largest_dim) if size > 1)
        yield Parameter("dim", base.dim, choices=sizes)
        if len(self.poolings) > 1:
            yield Parameter("pooling", self.poolings[0], choices=self.poolings)


def _drawn(trial: Draws, parameter: Parameter) -> Any:
    if parameter.choices:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    if parameter.whole:
        return trial.suggest_int(parameter.name, int(parameter.low), int(parameter.high), log=True)
    return _rounded(trial.suggest_float(parameter.name, parameter.low, parameter.high, log=True))


def _with_settings(term: Term, value: Values) -> Term:
    """Return a term with the values of its searched settings, as far as they differ from the defaults."""
    found = {setting.name: value(parameter) for setting, parameter in _settings(term)}
    defaults = {setting.name: setting.default for setting in losses.describe(term.name).settings}
    return replace(term, settings={**term.settings, **{name: v for name, v in found.items() if v != defaults[name]}})


def _settings(term: Term) -> Iterator[tuple[WordSetting, Parameter]]:
    """Yield the settings of a loss that are searched, each as a parameter: words and positive numbers.

    Those that were given stay, as do switches, lists, and a setting that is off by default.
    """
    for setting in losses.describe(term.name).settings:
        name, default = f"{term.name}:{setting.name}", setting.default
        if setting.name in term.settings or (setting.name == "mining" and term.settings.get("miner")):
            continue
        if isinstance(default, str) and len(setting.choices) > 1:
            yield setting, Parameter(name, default, choices=setting.choices)
        elif isinstance(default, int | float) and not isinstance(default, bool) and default > 0:
            whole = isinstance(default, int) and "float" not in setting.kinds
            low, high = _end(term, setting, up=False), _end(term, setting, up=True)
            if whole:
                low, high = max(1, math.ceil(low)), math.floor(high)
            if low < high:
                yield setting, Parameter(name, default, low=low, high=high, whole=whole)


def _end(term: Term, setting: WordSetting, *, up: bool) -> float:
    """Return the farthest value of a setting, up or down from its default, that the loss accepts."""
    default = setting.default
    assert isinstance(default, int | float)
    whole = isinstance(default, int) and "float" not in setting.kinds
    for factor in _ENDS:
        value = default * factor if up else default / factor
        value = max(1, round(value)) if whole else value
        try:
            losses.build([replace(term, settings={**term.settings, setting.name: value})], 4, 8)
        except UsageError:
            continue
        return value
    return default


def _written(term: Term) -> str:
    """Return a term of a sum of losses as `--loss` takes it."""
    weight = "" if term.weight == 1 else f"{term.weight:g}*"
    settings = ",".join(f"{name}={_shown(value)}" for name, value in term.settings.items())
    return f"{weight}{term.name}" + (f":{settings}" if settings else "")


def _shown(value: Value) -> str:
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value)
    return str(value).lower() if isinstance(value, bool) or value is None else format_value(value)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def split_specs(text: str) -> list[str]:
    """Return the losses in a list with commas, which losses have between their settings too.

    >>> split_specs("triplet:margin=0.3,soft=true,softmax+0.5*supcon")
    ['triplet:margin=0.3,soft=true', 'softmax+0.5*supcon']
    """
    return re.split(r",(?=[\d.*]*[a-z][a-z-]*(?:[:+,]|$))", text)
