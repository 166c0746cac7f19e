"""Settings that need not be typed: `dmlcli.toml` (here or above) and `DMLCLI_*` variables; options win over both.

    backbone = "resnet50"        # of every verb that has the option
    [train]
    loss = "triplet:margin=0.3"  # of one verb; paths are relative to the file's folder

`DMLCLI_BACKBONE=resnet50` and `DMLCLI_TRAIN_LOSS=triplet` say the same, and win over the file; what is said of one verb
wins over what is said of all.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dmlcli.errors import CannotRun, UsageError, nearest

FILE, PREFIX = "dmlcli.toml", "DMLCLI_"
_ADDRESS = re.compile(r"[a-z]{2,}:")  # begins what is no path: milvus://host/collection
_OTHER = "DMLCLI_WORKSPACE"  # is read where the workspace is found, also by the Python API


class Parameter(NamedTuple):
    """What an option is called in the signature of its verb, and whether it takes a path."""

    name: str
    is_path: bool


Known = Mapping[str, Mapping[str, Parameter]]  # verb -> option as it is typed, with underscores for dashes
Found = dict[str, dict[str, Any]]  # verb -> parameter -> value, as click's `default_map` takes it


def is_there() -> bool:
    """Whether there is anything to read, which is quickly seen."""
    return _file() is not None or any(_variables())


def read(known: Known) -> Found:
    """What file and variables set; raises UsageError for a name that no verb has, CannotRun for a damaged file."""
    found: Found = {verb: {} for verb in known}
    file = _file()
    if file is not None:
        _read_file(file, known, found)
    split = [(*_split(name.removeprefix(PREFIX).lower(), known), name) for name in _variables()]
    for verb, option, name in sorted(split, key=lambda one: one[0] is not None):  # those of one verb win
        _set(found, known, [verb] if verb else list(known), option, os.environ[name], f"${name}", None)
    return found


def _read_file(file: Path, known: Known, found: Found) -> None:
    import tomllib

    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CannotRun(f"{file} cannot be read: {error}", hint='one setting a line: backbone = "resnet50"') from error
    tables = {name: table for name, table in values.items() if isinstance(table, dict)}
    for key in values.keys() - tables.keys():
        _set(found, known, list(known), key, values[key], str(file), file.parent)
    for verb, table in tables.items():
        if verb not in known:
            raise UsageError(f"{file} has a section [{verb}], and there is no such verb", hint=nearest(verb, [*known]))
        for key, value in table.items():
            _set(found, known, [verb], key, value, f"{file} [{verb}]", file.parent)


def _set(found: Found, known: Known, verbs: list[str], key: str, value: Any, where: str, folder: Path | None) -> None:
    """Set an option of those verbs that have it; a path in a file is relative to the file's `folder`."""
    option = key.replace("-", "_")
    able = [verb for verb in verbs if option in known[verb]]
    if not able:
        names = sorted({name for verb in verbs for name in known[verb]})
        raise UsageError(f"{where} sets '{key}', and there is no such option", hint=nearest(option, names))
    for verb in able:
        parameter = known[verb][option]
        is_path = parameter.is_path and isinstance(value, str) and not _ADDRESS.match(value)
        relative = folder is not None and is_path
        found[verb][parameter.name] = str(folder / value) if relative and folder else value


def _split(name: str, known: Known) -> tuple[str | None, str]:
    """The verb and the option of a variable such as TRAIN_LOSS; no verb in LOSS, which is every verb's."""
    verb, _, option = name.partition("_")
    return (verb, option) if verb in known and option else (None, name)


def _variables() -> Iterator[str]:
    return (name for name in sorted(os.environ) if name.startswith(PREFIX) and name != _OTHER)


def _file() -> Path | None:
    """The nearest dmlcli.toml here or above."""
    here = Path.cwd()
    return next((folder / FILE for folder in (here, *here.parents) if (folder / FILE).is_file()), None)
