"""Commands in hints, completed with the options of the current command line.

Hints are written with plain commands (`dmlcli index CATALOG`). This module knows the current command line: the
workspace, index and model that were named go into every command that takes them, quoted for the shell.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

# Patterns are text, so that they are compiled when a hint is printed and not before each query.
_COMMAND = (
    r"\bdmlcli (?P<command>train|embed|index|query|eval|compare|sweep|duplicates|models|status)\b"
    r"(?P<rest>.*?)(?=\bdmlcli |;|$)"
)
_OF_TABLES = (
    "image_column",
    "product_column",
    "category_column",
    "split_column",
    "source_column",
    "box_column",
    "root",
)
_OF_NETWORKS = ("backbone", "weights", "dim")
_ADDRESS = r"milvuss?:"
_command = ""
_typed: dict[str, str] = {}
_words: list[str] = []
_catalogs: list[str] = []  # what CATALOG stands for


def remember(command: str, options: Mapping[str, Any], words: Sequence[str]) -> None:
    """Store the command line, so that hints can repeat its options.

    Args:
        command: the command.
        options: the values of its options, None for those that are not given.
        words: the command line after `dmlcli`.
    """
    global _command
    _command = command
    _typed.clear()
    _typed.update({name: str(value) for name, value in options.items() if isinstance(value, str) or _is_path(value)})
    _typed.update({name: str(value) for name, value in options.items() if name == "dim" and value is not None})
    given = options.get("catalog")
    several = given if isinstance(given, list) else [given] if isinstance(given, str) or _is_path(given) else []
    _catalogs[:] = [*map(str, several), *(["--merge-products"] if options.get("merge_products") else [])]
    if several:
        _typed["catalog"] = str(several[0])
    _words[:] = words


def again(without: str) -> str:
    """Return the command line that was typed, without one of its words."""
    import shlex

    return shlex.join(["dmlcli", *(word for word in _words if word != without)])


def complete(text: str) -> str:
    """Return a text whose commands are completed with the options of the current command line."""
    return re.sub(_COMMAND, _completed, text) if _typed else text


def _completed(found: re.Match[str]) -> str:
    import shlex

    command, rest = found["command"], found["rest"]
    added = [word for option, value in _options(command) if not _names(option, rest) for word in (option, value)]
    if _command in ("train", "compare", "sweep") and "catalog" in _typed and "CATALOG" in rest:
        rest = rest.replace("CATALOG", shlex.join(_catalogs))
        names = [*_OF_TABLES, *(_OF_NETWORKS if (_command, command) == ("compare", "train") else ())]
        added += [word for name in names if name in _typed for word in (f"--{name.replace('_', '-')}", _typed[name])]
    return " ".join([f"dmlcli {command}", shlex.join(added)]) + rest if added else f"dmlcli {command}{rest}"


def _options(command: str) -> list[tuple[str, str]]:
    """Return the options of a command that say where things are, as they were typed."""
    index = _typed.get("to") or _typed.get("index") or (_typed.get("output") if _command == "index" else None)
    model = _typed.get("model") or (_typed.get("output") if _command == "train" else None)
    found = [("-w", _typed["workspace"])] if "workspace" in _typed else []
    if index and command in ("query", "duplicates"):
        found.append(("--index", index))
    if index and command == "index":
        found.append(("--to" if re.match(_ADDRESS, index) else "-o", index))
    if model and (command in ("embed", "index", "eval") or command == _command == "query"):
        found.append(("--model", model))
    if model and command == "train":
        found.append(("-o", model))
    return found


def _names(option: str, rest: str) -> bool:
    return option in rest.split()


def _is_path(value: object) -> bool:
    return hasattr(value, "__fspath__")
