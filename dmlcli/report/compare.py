"""What a comparison of losses returns."""

from collections.abc import Sequence
from dataclasses import dataclass

from dmlcli.report.skipped import Skipped

FROZEN, CLOSED = "frozen backbone", "LDA head"  # the lines that are not losses


@dataclass(frozen=True)
class Contender:
    """One line of a comparison: scores on unseen products, and the gain in MAP@R over the frozen backbone.

    Scores are None where training diverged, and `trouble` says so.
    """

    name: str
    recall_at_1: float | None
    map_at_r: float | None
    interval95: tuple[float, float] | None  # of MAP@R
    gain: float | None
    gain_interval95: tuple[float, float] | None  # paired: the same queries, whole products drawn
    seen_recall_at_1: float | None  # of new photos of the products trained on
    seen_map_at_r: float | None
    seconds: float
    trouble: str = ""
    head_gain_interval95: tuple[float, float] | None = None  # the same over the LDA head, which train starts from


@dataclass(frozen=True)
class CompareReport:
    """Which loss suits these photos; the best first.

    `recommended` is "" where the intervals carry no loss; `why` says what they show.
    """

    images: int
    products: int
    protocol: str
    contenders: tuple[Contender, ...]
    recommended: str
    why: str
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()


def recommend(contenders: Sequence[Contender]) -> tuple[str, str]:
    """Return the loss that the paired intervals carry, "" for none, and the reason.

    A loss is recommended if its MAP@R on unseen products is significantly above that of the frozen backbone and of
    the LDA head (the 95 % intervals of the paired differences lie above 0) and its Recall@1 is not below the frozen
    backbone's. Of several the best in MAP@R is taken.

    Args:
        contenders: all lines, the best in MAP@R first.
    """
    frozen = next(one for one in contenders if one.name == FROZEN)
    losses = [one for one in contenders if one.name not in (FROZEN, CLOSED)]
    better = [one for one in losses if _is_above(one.gain_interval95)]
    if not better:
        return "", "no loss is significantly better than the frozen backbone (95 %, over products)"
    carried = [one for one in better if _is_above(one.head_gain_interval95)]
    if not carried:
        return "", "no loss is significantly better than the LDA head, which train computes for every loss (95 %)"
    recall = frozen.recall_at_1 or 0.0
    sound = [one for one in carried if one.recall_at_1 is not None and one.recall_at_1 >= recall]
    if not sound:
        return "", "every loss that is better in MAP@R is below the frozen backbone in Recall@1"
    best = sound[0]
    return best.name, f"{best.name} is significantly better than the frozen backbone and the LDA head (95 %)"


def _is_above(interval: tuple[float, float] | None) -> bool:
    return interval is not None and interval[0] > 0
