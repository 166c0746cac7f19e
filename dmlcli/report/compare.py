"""What a comparison of losses returns."""

from dataclasses import dataclass

from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class Contender:
    """One line of a comparison: scores on new products, and the gain in MAP@R over the frozen backbone."""

    name: str
    recall_at_1: float
    map_at_r: float
    interval95: tuple[float, float] | None  # of MAP@R
    gain: float
    gain_interval95: tuple[float, float] | None  # paired: the same queries, whole products drawn
    known_recall_at_1: float | None  # of new photos of the products trained on
    known_map_at_r: float | None
    seconds: float
    trouble: str = ""


@dataclass(frozen=True)
class CompareReport:
    """Which loss suits these photos; the best first."""

    images: int
    products: int
    protocol: str
    contenders: tuple[Contender, ...]
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()
