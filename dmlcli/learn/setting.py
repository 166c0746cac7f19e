"""Declarations of the settings of a recipe: command line, help, recipe files and checks derive from them."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, NamedTuple, get_args, get_type_hints

from dmlcli import option_values
from dmlcli.errors import UsageError

Scope = Literal["always", "training", "backbone"]


class Setting(NamedTuple):
    """One setting of a recipe, declared as `dim: Annotated[int, Setting("Network", "…", min=2)] = 256`.

    Nine fields, as every consumer needs others: the help, the parser, recipe files, checks.
    """

    group: str  # heading in `train --help`
    help: str
    choices: tuple[str, ...] = ()
    min: float | None = 0  # of a number; None: none
    max: float | None = None
    default: str = ""  # how the help describes the default; "": the default itself
    option: str = ""  # its name on the command line; "": that of the field
    complete: Callable[[str], list[str]] | None = None  # completions of a word
    scope: Scope = "training"  # has an effect always, where something is trained, or where the backbone is


class Field(NamedTuple):
    """A field of a recipe."""

    name: str
    kind: type  # str, int or float
    default: Any
    setting: Setting

    @property
    def option(self) -> str:
        """The option of the command line."""
        return self.setting.option or "--" + self.name.replace("_", "-")

    @property
    def key(self) -> str:
        """The key of recipe files, which is the option with underscores."""
        return self.option.removeprefix("--").replace("-", "_")

    @property
    def help(self) -> str:
        """The help text with the default."""
        default = self.setting.default or ("" if self.default is None else format_value(self.default))
        return self.setting.help + (f"  [default: {default}]" if default else "")

    def check(self, value: object) -> None:
        """Raise UsageError where a value is of another type, not one of the choices, or out of range."""
        setting = self.setting
        if value is None and self.default is None:
            return
        option_values.check(
            self.option,
            self.kind,
            value,
            choices=setting.choices,
            least=setting.min,
            most=setting.max,
            hint=self.help,
        )
        if isinstance(value, str) and not _is_utf8(value):
            raise UsageError(
                f"{self.option} {value!r} is not valid UTF-8, and a run records its settings as text",
                hint="rename the file, or name a link to it",
            )


def fields_of(recipe: type) -> Mapping[str, Field]:
    """Return the fields of a recipe class by name."""
    hints, found = get_type_hints(recipe, include_extras=True), {}
    for field in fields(recipe):
        annotated, setting = get_args(hints[field.name])
        kinds = [kind for kind in get_args(annotated) or (annotated,) if kind is not type(None)]
        found[field.name] = Field(field.name, kinds[0], field.default, setting)
    return found


def format_value(value: object) -> str:
    """Return a value as help and messages show it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
