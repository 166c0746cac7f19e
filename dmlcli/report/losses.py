"""The report of `losses`."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class LossSetting:
    """One setting of a loss: what it takes (`float`, `int`, words, …), its default, and what it means."""

    name: str
    takes: tuple[str, ...]
    default: Any
    meaning: str


@dataclass(frozen=True)
class LossRow:
    """One loss; `published` is Recall@1 in percent, † where it is from memory of the paper."""

    name: str
    family: str
    sampler: str
    takes_references: bool
    learning_rate_factor: float
    summary: str
    formula: str
    use: str
    published: str
    source: str
    settings: tuple[LossSetting, ...]
    parameters: dict[str, str]  # learned ones: name to shape


@dataclass(frozen=True)
class LossesReport:
    """The losses that `--loss` knows."""

    losses: tuple[LossRow, ...]
