"""What a comparison of losses returns."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Difference, DifferenceInterval, Interval, Seconds, Share

FROZEN, CLOSED = "frozen backbone", "LDA head"  # the lines that are not losses


@dataclass(frozen=True)
class Contender:
    """One line of a comparison; scores are None where training diverged, and `trouble` says so."""

    name: str
    """The loss with its settings, or frozen backbone, or LDA head."""
    recall_at_1: "Share | None"
    """Recall@1 on unseen products."""
    map_at_r: "Share | None"
    """MAP@R on unseen products."""
    interval95: "Interval | None"
    """95 % interval of MAP@R."""
    gain: "Difference | None"
    """Gain in MAP@R over the frozen backbone."""
    gain_interval95: "DifferenceInterval | None"
    """95 % interval of the gain, paired: the same queries, whole products drawn."""
    seen_recall_at_1: "Share | None"
    """Recall@1 of new photos of the products trained on; null where there are none."""
    seen_map_at_r: "Share | None"
    """MAP@R of new photos of the products trained on; null where there are none."""
    seconds: "Seconds"
    """Time of training, in seconds."""
    trouble: str = ""
    """What went wrong in training; empty where nothing did."""
    head_gain_interval95: "DifferenceInterval | None" = None
    """95 % interval of the gain over the LDA head, which train starts from."""
    product_recall: "dict[str, Share]" = field(default_factory=dict)
    """Recall@1, @3 and @5 by product on unseen products, by metric."""
    seen_product_recall: "dict[str, Share]" = field(default_factory=dict)
    """The same for new photos of the products trained on."""


@dataclass(frozen=True)
class CompareReport:
    """Which loss suits these photos; the best first."""

    images: "Count"
    """Images that were trained on."""
    products: "Count"
    """Products that they show."""
    protocol: str
    """What was held out, in words."""
    contenders: tuple[Contender, ...]
    """The losses, the frozen backbone and the LDA head; the best in MAP@R first."""
    recommended: str
    """The loss to train with; empty where the intervals recommend none."""
    why: str
    """What the intervals show."""
    caution: str = ""
    """What is wrong with the weights; empty where nothing is."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""


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
