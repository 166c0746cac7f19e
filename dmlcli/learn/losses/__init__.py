"""The losses by name: what exists, what a `--loss` string means, and how it becomes a module.

One loss is one file of this folder; the file name is the name on the command line (`proxy_anchor.py` ->
`ProxyAnchor` -> `--loss proxy-anchor`). Names, summaries and settings are read from the source text, so that listing,
completion and checking a command line never import torch.
"""

import ast
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli.errors import UsageError, nearest

if TYPE_CHECKING:
    from torch import nn

_NOT_LOSSES = {"__init__", "pairs"}
Value = float | int | bool | str | None


@dataclass(frozen=True)
class Setting:
    """One setting of a loss: its name, the kinds it accepts (`float`, `int`, `bool`, `None` or words) and its default."""

    name: str
    kinds: tuple[str, ...]
    default: Value

    def parse(self, text: str) -> Value:
        """Turn what was typed into a value; raises ValueError naming the kinds that are accepted."""
        if text.lower() in ("none", "null") and "None" in self.kinds:
            return None
        if "bool" in self.kinds and text.lower() in ("true", "false"):
            return text.lower() == "true"
        for kind, convert in (("int", int), ("float", float)):
            if kind in self.kinds:
                try:
                    return convert(text)
                except ValueError:
                    continue
        if text in self.kinds and text not in ("int", "float", "bool", "None"):
            return text
        raise ValueError(f"{self.name} takes {', '.join(self.kinds)}, not '{text}'")


@dataclass(frozen=True)
class LossInfo:
    """What a loss file says of itself, without importing it."""

    name: str
    summary: str
    source: str
    family: str
    sampler: str
    takes_references: bool
    learning_rate_factor: float
    settings: tuple[Setting, ...]


@cache
def names() -> list[str]:
    """The names that `--loss` knows."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(file.stem.replace("_", "-") for file in files if file.stem not in _NOT_LOSSES)


@cache
def describe(name: str) -> LossInfo:
    """Read what the file of loss `name` says of itself; raises UsageError where there is no such loss."""
    if name not in names():
        raise UsageError(f"there is no loss '{name}'", hint=nearest(name, names()))
    tree = ast.parse((Path(__file__).parent / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
    lines = (ast.get_docstring(tree) or "").splitlines()
    loss = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == _class_name(name))
    facts = {
        node.target.id: ast.literal_eval(node.value)
        for node in loss.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    return LossInfo(
        name=name,
        summary=lines[0].rstrip("."),
        source=next((line.removeprefix("Source: ").rstrip(".") for line in lines if line.startswith("Source: ")), ""),
        family=facts["family"],
        sampler=facts["sampler"],
        takes_references=facts["takes_references"],
        learning_rate_factor=facts["learning_rate_factor"],
        settings=tuple(_settings(loss)),
    )


def parse(spec: str) -> tuple[str, dict[str, Value]]:
    """Split `name:key=value,key=value` into a name and its settings; raises UsageError naming what would be right."""
    name, _, rest = spec.partition(":")
    known = {setting.name: setting for setting in describe(name).settings}
    settings: dict[str, Value] = {}
    for pair in filter(None, rest.split(",")):
        key, equals, text = pair.partition("=")
        if key not in known or not equals:
            raise UsageError(f"loss {name} has no setting '{pair}'", hint=nearest(key, list(known)))
        try:
            settings[key] = known[key].parse(text)
        except ValueError as error:
            raise UsageError(f"loss {name}: {error}", hint=f"dmlcli losses {name}") from error
    return name, settings


def load(name: str) -> "type[nn.Module]":
    """Import the class of loss `name`; raises UsageError where there is no such loss."""
    describe(name)
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    loss: type[nn.Module] = getattr(module, _class_name(name))
    return loss


def build(spec: str, num_labels: int, embedding_dim: int) -> "nn.Module":
    """Make the loss that `spec` asks for, e.g. `triplet:margin=0.2`."""
    name, settings = parse(spec)
    return load(name)(num_labels, embedding_dim, **settings)


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def _settings(loss: ast.ClassDef) -> list[Setting]:
    constructor = next(node for node in loss.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    arguments = constructor.args
    return [
        Setting(argument.arg, tuple(_kinds(argument.annotation)), ast.literal_eval(default) if default else None)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]


def _kinds(annotation: Any) -> list[str]:
    """The kinds an annotation such as `float | None` or `Literal["a", "b"]` names."""
    if isinstance(annotation, ast.BinOp):
        return _kinds(annotation.left) + _kinds(annotation.right)
    if isinstance(annotation, ast.Subscript):
        choices = annotation.slice
        return [str(ast.literal_eval(node)) for node in (choices.elts if isinstance(choices, ast.Tuple) else [choices])]
    return [ast.unparse(annotation)]
