"""The losses by name: what exists, what a `--loss` string means, and how it becomes a module.

One loss is one file of this folder; the file name is the name on the command line (`proxy_anchor.py` ->
`ProxyAnchor` -> `--loss proxy-anchor`), and a file without a class of its own name is shared by several losses.
Names, texts and settings are read from the source, so that listing, completion and checking a command line never
import torch.

A sum of losses is written as one: `softmax+0.5*triplet:margin=0.3`. A loss over pairs or triplets takes those that a
miner selects: `contrastive:miner=multi-similarity,miner.epsilon=0.2`.
"""

import ast
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmlcli import spec_strings
from dmlcli.errors import UsageError, nearest
from dmlcli.learn.losses import miners, source_text
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
    "miners",
    "names",
    "parameter_groups",
    "parse",
]
_FOLDER = Path(__file__).parent
SAMPLERS = ("random", "pk", "n-pair")  # what a loss can need of a batch, each satisfying those before it


@dataclass(frozen=True)
class Parameter:
    """One learned tensor of a loss, e.g. `proxies` of shape `(C, D)`: C labels, D numbers an embedding, K a setting."""

    name: str
    shape: str


@dataclass(frozen=True)
class LossInfo:
    """The description of a loss, read from its file without importing it: one field for each section.

    `published` is Recall@1 in percent, with a † where it is from memory of the paper and was not read again; `compared`
    are other implementations, each with whether it is equal, separated by semicolons.
    """

    name: str
    summary: str
    formula: str
    use: str
    published: str
    compared: str
    source: str
    family: str
    sampler: str
    takes_references: bool
    takes_miners: bool
    learning_rate_factor: float
    settings: tuple[WordSetting, ...]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Term:
    """One term of a sum of losses; the settings `miner` and `miner.…` are those of its miner, where it has one."""

    weight: float
    name: str
    settings: Mapping[str, Value]


@cache
def names() -> list[str]:
    """Return the names that `--loss` knows."""
    return source_text.names(_FOLDER)


@cache
def describe(name: str) -> LossInfo:
    """Read what the file of loss `name` says of itself; raise UsageError for an unknown loss."""
    if name not in names():
        raise UsageError(f"unknown loss '{name}'", hint=nearest(name, names()))
    tree, loss = source_text.parsed(_FOLDER, name)
    texts = source_text.sections(ast.get_docstring(tree) or "", ["Formula", "Use", "Published", "Compared", "Source"])
    lists = source_text.sections(ast.get_docstring(loss) or "", ["Settings", "Parameters"])
    facts = {
        node.target.id: ast.literal_eval(node.value)
        for node in loss.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    return LossInfo(
        name=name,
        summary=texts[""].split("\n")[0].rstrip("."),
        formula=texts["Formula"],
        use=source_text.joined(texts["Use"]),
        published=source_text.joined(texts["Published"]),
        compared=source_text.joined(texts["Compared"]),
        source=source_text.joined(texts["Source"]),
        family=facts["family"],
        sampler=facts["sampler"],
        takes_references=facts["takes_references"],
        takes_miners=bool({"pairs", "triplets"} & source_text.arguments(loss, "forward")),
        learning_rate_factor=facts["learning_rate_factor"],
        settings=tuple(source_text.settings(loss, dict(source_text.items(lists["Settings"])))),
        parameters=tuple(Parameter(*item) for item in source_text.items(lists["Parameters"])),
    )


def parse(spec: str) -> tuple[Term, ...]:
    """Read `name:key=value,key=value`, or a sum `name+0.5*name:…`; raises UsageError naming what would be right."""
    # a plus sign starts a term where a name or a weight follows: that of 1e+3 does not
    return tuple(_parse_term(text) for text in re.split(r"\+(?=(?:[\d.]+(?:e-?\d+)?\*)?[a-z])", spec))


def load(name: str) -> "type[Loss]":
    """Import the class of loss `name`; raise UsageError for an unknown loss."""
    describe(name)
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    loss: type[Loss] = getattr(module, source_text.class_name(name))
    return loss


def build(spec: str | Sequence[Term], num_labels: int, embedding_dim: int) -> "Loss":
    """Build the loss of `spec`, e.g. `triplet:margin=0.2` or `softmax+0.5*triplet`.

    Args:
        spec: names of losses with their settings, or the terms that `parse` returns.
        num_labels: number of products.
        embedding_dim: length of an embedding.

    Raises:
        UsageError: a loss or setting is unknown, or a value is out of range.
    """
    terms = parse(spec) if isinstance(spec, str) else spec
    losses = [_build_term(term, num_labels, embedding_dim) for term in terms]
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


def _build_term(term: Term, num_labels: int, embedding_dim: int) -> "Loss":
    own = {key: value for key, value in term.settings.items() if key.partition(".")[0] != "miner"}
    of_miner = {key.partition(".")[2]: value for key, value in term.settings.items() if key.startswith("miner.")}
    name = term.settings.get("miner")
    try:
        loss = load(term.name)(num_labels, embedding_dim, **own)
        miner = None if name is None else miners.load(str(name))(**of_miner)
    except ValueError as error:
        raise UsageError(
            f"invalid value for --loss: {term.name}: {error}", hint=f"dmlcli losses {term.name}"
        ) from error
    if miner is None:
        return loss
    from dmlcli.learn.losses.composition import Mined

    return Mined(loss, miner)


def _parse_term(text: str) -> Term:
    weight, star, rest = text.rpartition("*")
    name = rest.partition(":")[0]
    settings = describe(name).settings
    if describe(name).takes_miners:
        settings += miners.settings(rest)
    spec = spec_strings.parse("--loss", rest, {name: settings}, hint=f"dmlcli losses {name}")
    if "mining" in spec.given and spec.given.get("miner"):
        raise UsageError(f"invalid value for --loss: {name} takes mining or miner, not both", hint="leave out mining")
    try:
        factor = float(weight) if star else 1.0
        if not math.isfinite(factor):
            raise ValueError
    except ValueError as error:
        raise UsageError(f"'{weight}' is not a valid weight for loss {name}", hint=f"0.5*{rest}") from error
    return Term(factor, name, spec.given)
