"""The miners by name: what selects the pairs or triplets of a batch that a loss looks at.

One miner is one file of this folder, named like a loss is: `top_n.py` -> `TopN` -> `--loss triplet:miner=top-n`. Names
and settings are read from the source, as those of losses are.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli.errors import UsageError, nearest
from dmlcli.learn.losses import source_text
from dmlcli.spec_strings import WordSetting

if TYPE_CHECKING:
    from dmlcli.learn.losses.miners.interface import Miner

__all__ = ["MinerInfo", "describe", "load", "names", "settings"]
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class MinerInfo:
    """The description of a miner, read from its file without importing it: one field for each section."""

    name: str
    summary: str
    rule: str
    compared: str
    source: str
    settings: tuple[WordSetting, ...]


@cache
def names() -> list[str]:
    """Return the names that the setting `miner` of a loss knows."""
    return source_text.names(_FOLDER)


@cache
def describe(name: str) -> MinerInfo:
    """Read what the file of miner `name` says of itself; raise UsageError for an unknown miner."""
    if name not in names():
        raise UsageError(f"unknown miner '{name}'", hint=nearest(name, names()))
    tree, miner = source_text.parsed(_FOLDER, name)
    texts = source_text.sections(ast.get_docstring(tree) or "", ["Rule", "Compared", "Source"])
    meanings = source_text.sections(ast.get_docstring(miner) or "", ["Settings"])["Settings"]
    return MinerInfo(
        name=name,
        summary=texts[""].split("\n")[0].rstrip("."),
        rule=source_text.joined(texts["Rule"]),
        compared=source_text.joined(texts["Compared"]),
        source=source_text.joined(texts["Source"]),
        settings=tuple(source_text.settings(miner, dict(source_text.items(meanings)))),
    )


def settings(spec: str) -> tuple[WordSetting, ...]:
    """Return `miner`, and the settings `miner.…` of the miner that the spec of a loss names, if it does."""
    found = [WordSetting("miner", (*names(), "None"), None, "what selects the pairs or triplets")]
    named = re.search(r"[:,]miner=([^,]*)", spec)
    if named and named[1] in names():
        found += [setting._replace(name=f"miner.{setting.name}") for setting in describe(named[1]).settings]
    return tuple(found)


def load(name: str) -> "type[Miner]":
    """Import the class of miner `name`; raise UsageError for an unknown miner."""
    describe(name)
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    miner: type[Miner] = getattr(module, source_text.class_name(name))
    return miner
