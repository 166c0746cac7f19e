"""The report of `losses`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmlcli.report.units import Cosine


@dataclass(frozen=True)
class LossSetting:
    """One setting of a loss."""

    name: str
    """What it is called in `--loss NAME:setting=value`."""
    takes: tuple[str, ...]
    """What it takes: float, int, ints, bool, None, or words."""
    default: Any
    """Its usual value."""
    meaning: str
    """What it means."""


@dataclass(frozen=True)
class LossRow:
    """One loss."""

    name: str
    """What it is called in `--loss NAME`."""
    family: str
    """What it compares: pairs, lists or proxies."""
    sampler: str
    """How its batches are drawn."""
    takes_references: bool
    """Whether it can be used with `--memory`."""
    takes_miners: bool
    """Whether it takes a setting `miner`."""
    learning_rate_factor: float
    """How much faster its own parameters learn than the head."""
    summary: str
    """What it does, in a line."""
    formula: str
    """Its formula, as text."""
    use: str
    """When to use it."""
    published: str
    """Published Recall@1 in percent; † where it is from memory of the paper."""
    source: str
    """The paper."""
    settings: tuple[LossSetting, ...]
    """Its settings."""
    parameters: dict[str, str]
    """Shape of each learned parameter by its name."""


@dataclass(frozen=True)
class MinerRow:
    """One miner: what selects the pairs or triplets that a loss looks at."""

    name: str
    """What it is called in `--loss LOSS:miner=NAME`."""
    summary: str
    """What it selects, in a line."""
    rule: str
    """Its rule, as text."""
    source: str
    """The paper."""
    settings: tuple[LossSetting, ...]
    """Its settings, each given as `miner.NAME=value`."""


@dataclass(frozen=True)
class LossCurve:
    """What a loss makes of a pair, while the other pair keeps its cosine (0.5 the positive one, 0 the negative one)."""

    pair: str
    """Which of the two pairs has the cosines: positive or negative."""
    cosines: "tuple[Cosine, ...]"
    """Cosines of this pair, ascending."""
    values: tuple[float, ...]
    """The loss at each cosine."""
    slopes: tuple[float, ...]
    """Its derivative with respect to the cosine."""


@dataclass(frozen=True)
class LossesReport:
    """The losses that `--loss` knows."""

    losses: tuple[LossRow, ...]
    """One entry for each loss, or the one that was named."""
    miners: tuple[MinerRow, ...]
    """What `miner` of a loss can be; empty where the loss that was named takes none."""
    curves: tuple[LossCurve, ...] = ()
    """What `--plot -` draws: of a positive and of a negative pair; empty without it."""
