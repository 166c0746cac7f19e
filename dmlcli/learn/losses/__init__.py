"""The losses by name: what exists, what a `--loss` string means, and how it becomes a module.

One loss is one file of this folder; the file name is the name on the command line (`proxy_anchor.py` ->
`ProxyAnchor` -> `--loss proxy-anchor`), and a file without a class of its own name is shared by several losses.
Names, texts and settings are read from the source, so that listing, completion and checking a command line never
import torch.

A sum of losses is written as one: `softmax+0.5*triplet:margin=0.3`.
"""

import ast
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import spec_strings
from dmlcli.errors import UsageError, nearest
from dmlcli.spec_strings import Value, WordSetting

if TYPE_CHECKING:
    from torch import nn

    from dmlcli.learn.losses.interface import Loss

__all__ = [
    "SAMPLERS",
    "LossInfo",
    "Parameter",
    "Term",
    "build",
    "describe",
    "load",
    "names",
    "parameter_groups",
    "parse",
]
SAMPLERS = ("random", "pk", "n-pair")  # what a loss can need of a batch, each satisfying those before it


@dataclass(frozen=True)
class Parameter:
    """One learned tensor of a loss, e.g. `proxies` of shape `(C, D)`: C labels, D numbers an embedding, K a setting."""

    name: str
    shape: str


@dataclass(frozen=True)
class LossInfo:
    """The description of a loss, read from its file without importing it: one field for each section.

    `published` is Recall@1 in percent, with a † where it is from memory of the paper and was not read again.
    """

    name: str
    summary: str
    formula: str
    use: str
    published: str
    source: str
    family: str
    sampler: str
    takes_references: bool
    learning_rate_factor: float
    settings: tuple[WordSetting, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Term:
    """One term of a sum of losses."""

    weight: float
    name: str
    settings: Mapping[str, Value]


@cache
def names() -> list[str]:
    """Return the names that `--loss` knows."""
    found = (file.stem.replace("_", "-") for file in Path(__file__).parent.glob("*.py"))
    return sorted(name for name in found if f"class {_class_name(name)}(" in _source(name))


@cache
def describe(name: str) -> LossInfo:
    """Read what the file of loss `name` says of itself; raise UsageError for an unknown loss."""
    if name not in names():
        raise UsageError(f"unknown loss '{name}'", hint=nearest(name, names()))
    tree = ast.parse(_source(name))
    loss = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == _class_name(name))
    texts = _sections(ast.get_docstring(tree) or "", ["Formula", "Use", "Published", "Source"])
    lists = _sections(ast.get_docstring(loss) or "", ["Settings", "Parameters"])
    facts = {
        node.target.id: ast.literal_eval(node.value)
        for node in loss.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    return LossInfo(
        name=name,
        summary=texts[""].split("\n")[0].rstrip("."),
        formula=texts["Formula"],
        use=_joined(texts["Use"]),
        published=_joined(texts["Published"]),
        source=_joined(texts["Source"]),
        family=facts["family"],
        sampler=facts["sampler"],
        takes_references=facts["takes_references"],
        learning_rate_factor=facts["learning_rate_factor"],
        settings=tuple(_settings(loss, dict(_items(lists["Settings"])))),
        parameters=tuple(Parameter(*item) for item in _items(lists["Parameters"])),
    )


def parse(spec: str) -> tuple[Term, ...]:
    """Read `name:key=value,key=value`, or a sum `name+0.5*name:…`; raises UsageError naming what would be right."""
    # a plus sign starts a term where a name or a weight follows: that of 1e+3 does not
    return tuple(_parse_term(text) for text in re.split(r"\+(?=(?:[\d.]+(?:e-?\d+)?\*)?[a-z])", spec))


def load(name: str) -> "type[Loss]":
    """Import the class of loss `name`; raise UsageError for an unknown loss."""
    describe(name)
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    loss: type[Loss] = getattr(module, _class_name(name))
    return loss


def build(spec: str | Sequence[Term], num_labels: int, embedding_dim: int) -> "Loss":
    """Build the loss of `spec`, e.g. `triplet:margin=0.2` or `softmax+0.5*triplet`.

    Args:
        spec: names of losses with their settings, or the terms that `parse` returns.
        num_labels: number of products.
        embedding_dim: length of an embedding.
    """
    terms = parse(spec) if isinstance(spec, str) else spec
    losses = [load(term.name)(num_labels, embedding_dim, **term.settings) for term in terms]
    if len(terms) == 1 and terms[0].weight == 1:
        return losses[0]
    from dmlcli.learn.losses.composition import WeightedSum

    return WeightedSum([(term.weight, loss) for term, loss in zip(terms, losses, strict=True)])


def parameter_groups(loss: "nn.Module", learning_rate: float) -> list[dict[str, Any]]:
    """Optimizer groups of the parameters of `loss`, each at the pace that their own loss states, without decay."""
    groups = []
    for module in loss.modules():  # itself, or the losses of a sum
        own = list(module.parameters(recurse=False))
        if own:
            pace = learning_rate * float(getattr(module, "learning_rate_factor", 1.0))
            groups.append({"params": own, "lr": pace, "weight_decay": 0.0})
    return groups


def _parse_term(text: str) -> Term:
    weight, star, rest = text.rpartition("*")
    name = rest.partition(":")[0]
    spec = spec_strings.parse("--loss", rest, {name: describe(name).settings}, hint=f"dmlcli losses {name}")
    try:
        factor = float(weight) if star else 1.0
        if not math.isfinite(factor):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"'{weight}' is not a valid weight for loss {name}", hint=f"0.5*{rest}") from error
    return Term(factor, name, spec.given)


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


@cache
def _source(name: str) -> str:
    return (Path(__file__).parent / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")


def _sections(docstring: str, titles: list[str]) -> dict[str, str]:
    """Cut a docstring at the lines that start with `Title:` (going on below, indented); under "" what comes before."""
    sections = dict.fromkeys(["", *titles], "")
    title = ""
    for line in docstring.split("\n"):
        word, colon, text = line.partition(":")
        if colon and word in titles:
            title, line = word, text
        sections[title] += line.removeprefix("    ").rstrip() + "\n"
    return {title: text.strip() for title, text in sections.items()}


def _joined(text: str) -> str:
    return " ".join(text.split())


def _items(section: str) -> Iterable[tuple[str, str]]:
    """Yield the pairs of lines such as `name: meaning`, indented as in a docstring; a meaning may go on below."""
    for item in re.split(r"\n(?=\w+: )", section):
        name, colon, text = item.partition(": ")
        if colon:
            yield name, _joined(text)


def _settings(loss: ast.ClassDef, meanings: dict[str, str]) -> Iterable[WordSetting]:
    constructor = next(node for node in loss.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    arguments = constructor.args
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        value = ast.literal_eval(default) if default else None
        yield WordSetting(argument.arg, tuple(_kinds(argument.annotation)), value, meanings.get(argument.arg, ""))


def _kinds(annotation: Any) -> list[str]:
    """Return the kinds an annotation such as `float | None`, `tuple[int, ...]` or `Literal["a", "b"]` names."""
    if isinstance(annotation, ast.BinOp):
        return _kinds(annotation.left) + _kinds(annotation.right)
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "tuple":
        return ["ints"]
    if isinstance(annotation, ast.Subscript):
        choices = annotation.slice
        return [str(ast.literal_eval(node)) for node in (choices.elts if isinstance(choices, ast.Tuple) else [choices])]
    return [ast.unparse(annotation)]
