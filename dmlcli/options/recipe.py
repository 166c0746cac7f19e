"""The settings of a recipe as options of a command: declared in learn/recipe.py, added to a signature here."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from dmlcli.learn.recipe import FIELDS
from dmlcli.options.spec import Option

R = TypeVar("R")


def with_recipe(*names: str, **defaults: Any) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Replace `**settings` in the signature of a command by the settings of a recipe, all None where not given.

    Args:
        names: the settings; none: all of them.
        defaults: defaults of the command that are not those of the recipe, for the help.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        signature = inspect.signature(function)
        parameters = []
        for parameter in signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                parameters += [_parameter(name, defaults.get(name)) for name in names or FIELDS]
            else:
                parameters.append(parameter)
        shown = signature.replace(parameters=parameters)

        @functools.wraps(function)
        def checked(*args: Any, **options: Any) -> R:
            shown.bind(*args, **options)  # raises TypeError for a parameter that does not exist
            return function(*args, **options)

        checked.__signature__ = shown  # type: ignore[attr-defined]
        return checked

    return decorate


def _parameter(name: str, default: Any) -> inspect.Parameter:
    field = FIELDS[name] if default is None else FIELDS[name]._replace(default=default)
    setting, kind = field.setting, field.kind
    limits = {"min": setting.min, "max": setting.max} if kind is not str else {}
    option = Option(
        *([setting.option] if setting.option else []),
        help=field.help,
        panel=setting.group,
        **{key: value for key, value in limits.items() if value is not None},
        **({"autocompletion": setting.complete} if setting.complete else {}),
    )
    choices: Any = Literal.__getitem__(setting.choices) if setting.choices else kind
    annotation: Any = Annotated[choices | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
