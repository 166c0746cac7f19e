"""The report of `backbones`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmlcli.report.units import Amount, Count, Milliseconds, Percent


@dataclass(frozen=True)
class BackboneRow:
    """One backbone."""

    name: str
    """What it is called in `--backbone NAME`."""
    needs: tuple[str, ...]
    """Names by need that stand for it."""
    parameters_millions: "Amount"
    """Millions of parameters, without the classifier."""
    pixels: "Count"
    """Side of the square of pixels that it sees."""
    dim: "Count"
    """Number of features, pooled as published."""
    licence: str
    """Licence of the weights."""
    condition: str
    """A condition of the licence, or what the weights were trained on; empty where nothing is noted."""
    sop: "Percent | None"
    """Published Recall@1 of the frozen features on Stanford Online Products, in percent."""
    inshop: "Percent | None"
    """Published Recall@1 of the frozen features on In-Shop Clothes Retrieval, in percent."""
    source: str
    """Where the published figures stand."""
    here: bool
    """Whether it can be used on this machine without a download."""
    file: str
    """The file of its weights on this machine; empty where there is none."""
    get: str
    """How to get its weights; empty where it has none."""
    milliseconds: "Milliseconds | None" = None
    """CPU time of one image, in milliseconds, with `--measure`; null where it cannot be measured here."""
    sha256: str = ""
    """SHA-256 of the file, with `--fetch`."""


@dataclass(frozen=True)
class BackbonesReport:
    """The backbones that dmlcli recommends."""

    backbones: tuple[BackboneRow, ...]
    """One entry for each backbone, or the one that was named."""
    measured: str
    """How the times were measured; empty without `--measure`."""
