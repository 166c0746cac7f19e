"""Settings that need not be typed: `dmlcli.toml` (here or above) and `DMLCLI_*` variables; options win over both.

    backbone = "resnet50"        # of every command that has the option
    [train]
    loss = "triplet:margin=0.3"  # of one command; paths are relative to the file's folder

`DMLCLI_BACKBONE=resnet50` and `DMLCLI_TRAIN_LOSS=triplet` do the same and win over the file. A setting of one command
wins over one of all commands. A file that belongs to another user is refused (`ownership`).
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from dmlcli import arguments, ownership
from dmlcli.errors import CannotRun, DmlcliError, UsageError, nearest

FILE, PREFIX = "dmlcli.toml", "DMLCLI_"
_ADDRESS = re.compile(r"[a-z]{2,}:")  # a prefix of addresses that are not paths: milvus://host/collection
_OTHER = ("DMLCLI_WORKSPACE", ownership.VARIABLE)  # are read where they are needed, also by the Python API
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Parameter(NamedTuple):
    """What an option is called in the signature of its command, and what values it takes."""

    name: str
    kind: Any  # bool, int, float, str, Path, a Literal, or Any (passed on as text)
    many: bool = False
    least: float | None = None
    most: float | None = None


class ConfiguredValue(NamedTuple):
    """The value of an option, and where it was set: `/shop/dmlcli.toml [train] epochs = "many"`."""

    value: Any
    where: str
    folder: Path | None  # that a path is relative to


Known = Mapping[str, Mapping[str, Parameter]]  # command -> option as it is typed, with underscores for dashes
Configured = dict[str, ConfiguredValue]  # option -> what is set, of one command


def is_there() -> bool:
    """Return whether there is anything to read, which is quickly seen."""
    return _file() is not None or any(_variables())


def read(known: Known, command: str) -> Configured:
    """Return what file and variables set for a command.

    Args:
        known: the options of all commands: a name that none of them has is refused whichever command is run.
        command: the one that is run.

    Raises:
        UsageError: a name that no command has.
        CannotRun: the file is damaged, or belongs to another user.
    """
    found: Configured = {}
    file = _file()
    if file is not None:
        ownership.check_owner(file, "settings")
        _read_file(file, known, command, found)
    split = [(*_split(name.removeprefix(PREFIX).lower(), known), name) for name in _variables()]
    for of, option, name in sorted(split, key=lambda one: one[0] is not None):  # those of one command win
        _set(
            found,
            known,
            (command, of, option),
            ConfiguredValue(os.environ[name], f'{name}="{os.environ[name]}"', None),
            name,
        )
    return found


def values(found: Configured, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the settings by parameter, as click's `default_map` takes them; raise UsageError for a wrong value."""
    return {known[option].name: _value(setting, known[option]) for option, setting in found.items()}


def name_source(error: DmlcliError, found: Configured, used: Collection[str]) -> None:
    """Add to an error where the value that it complains of was set.

    Args:
        error: changed in place.
        found: what is set for the command.
        used: the options whose values come from there, not from the command line.
    """
    message = str(error)
    for option in used:
        setting = found[option]
        value, spelt = str(setting.value), "--" + option.replace("_", "-")
        named = [re.escape(one) for one in (spelt, value) if len(one) > 2]
        mentioned = re.search(rf"(?<![\w.-])({'|'.join(named)})(?![\w.-])", message)
        if mentioned and setting.where not in message:
            error.args = (f"{message} (set by {setting.where})",)
            return


def expand_home(word: str) -> str:
    """Return a word of the command line such as `--workspace=~/shop` as if the shell had expanded the `~`."""
    found = re.fullmatch(r"(--[\w-]+=|-\w)(~(?:/.*)?)", word, re.DOTALL)
    return found[1] + arguments.expand_home(found[2]) if found else word


def _read_file(file: Path, known: Known, command: str, found: Configured) -> None:
    import tomllib

    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotRun(f"{file} cannot be read: {error}", hint='one setting a line: backbone = "resnet50"') from error
    tables = {name: table for name, table in content.items() if isinstance(table, dict)}
    for key in content.keys() - tables.keys():
        value = content[key]
        _set(
            found,
            known,
            (command, None, key),
            ConfiguredValue(value, f"{file} {key} = {_toml(value)}", file.parent),
            str(file),
        )
    for of, table in tables.items():
        if of not in known:
            raise UsageError(f"{file}: unknown section [{of}]", hint=nearest(of, [*known]))
        for key, value in table.items():
            setting = ConfiguredValue(value, f"{file} [{of}] {key} = {_toml(value)}", file.parent)
            _set(found, known, (command, of, key), setting, f"{file} [{of}]")


def _set(
    found: Configured, known: Known, what: tuple[str, str | None, str], setting: ConfiguredValue, place: str
) -> None:
    """Keep a setting where the command that is run has the option.

    Args:
        found: added to.
        known: the options of all commands.
        what: the command that is run, the command that is meant (None: all of them), and the option.
        setting: the value.
        place: file and section, or variable, for the message about an option that does not exist.
    """
    command, of, key = what
    option = key.replace("-", "_")
    meant = [of] if of else list(known)
    if not any(option in known[one] for one in meant):
        names = sorted({name for one in meant for name in known[one]})
        raise UsageError(f"{place}: unknown option '{key}'", hint=nearest(option, names))
    if command in meant and option in known[command]:
        found[option] = setting


def _split(name: str, known: Known) -> tuple[str | None, str]:
    """The command and the option of a variable such as TRAIN_LOSS; no command in LOSS, which is every command's."""
    command, _, option = name.partition("_")
    is_whole = any(name in options for options in known.values())  # QUERY_SPLIT is an option of eval
    names_command = command in known and option and not (is_whole and option not in known[command])
    return (command, option) if names_command else (None, name)


def _value(setting: ConfiguredValue, parameter: Parameter) -> Any:
    if not parameter.many:
        return _single(setting, parameter, setting.value)
    listed = setting.value if isinstance(setting.value, list) else [setting.value]
    return [_single(setting, parameter, value) for value in listed]


def _single(setting: ConfiguredValue, parameter: Parameter, value: Any) -> Any:
    """One value in the kind that the option takes; raises UsageError where it is of another, or out of range."""
    kind, where = parameter.kind, setting.where
    if isinstance(value, list | dict):
        raise UsageError(f"{where}: expected one value", hint=f"for example: {_example(parameter)}")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            choices = [str(choice) for choice in get_args(kind)]
            raise UsageError(f"{where}: expected one of {', '.join(choices)}", hint=nearest(str(value), choices))
        return value
    if kind is bool:
        word = str(value).lower()
        if word not in (*_YES, *_NO):
            raise UsageError(f"{where}: expected true or false", hint=_example(parameter))
        return word in _YES
    if kind in (int, float):
        return _number(setting, parameter, value)
    if isinstance(value, bool):
        raise UsageError(f"{where}: expected text", hint=f"for example: {_example(parameter)}")
    text = arguments.expand_home(str(value)) if re.match(r"~(/|$)", str(value)) else str(value)
    if kind is Path and setting.folder is not None and not _ADDRESS.match(text):
        return str(setting.folder / text)
    return text


def _number(setting: ConfiguredValue, parameter: Parameter, value: Any) -> Any:
    low, high = parameter.least, parameter.most
    try:
        if isinstance(value, bool) or (parameter.kind is int and isinstance(value, float) and value != int(value)):
            raise ValueError
        number = parameter.kind(value)
        if not number >= (number if low is None else low) or not number <= (number if high is None else high):
            raise ValueError
    except (ValueError, OverflowError) as error:
        kind = "a whole number" if parameter.kind is int else "a number"
        span = {
            (True, True): "",
            (False, True): f" of at least {low}",
            (True, False): f" of at most {high}",
            (False, False): f" from {low} to {high}",
        }[low is None, high is None]
        message = f"{setting.where}: expected {kind}{span}"
        raise UsageError(message, hint=f"for example: {_example(parameter)}") from error
    return number


def _example(parameter: Parameter) -> str:
    least = parameter.least or 0
    by_kind = {bool: "true", int: str(int(least) or 1), float: str(least or 0.5)}
    value = by_kind.get(parameter.kind, '"…"')
    return f"{parameter.name} = {value}"


def _toml(value: Any) -> str:
    """A value as a file would spell it, for messages."""
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _variables() -> Iterator[str]:
    return (name for name in sorted(os.environ) if name.startswith(PREFIX) and name not in _OTHER and os.environ[name])


def _file() -> Path | None:
    """The nearest dmlcli.toml here or above; none where the current folder was deleted."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    return next((folder / FILE for folder in (here, *here.parents) if _is_file(folder / FILE)), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the folder above cannot be searched
        return False
