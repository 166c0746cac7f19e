"""What a comparison of backbones returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Amount, Count, Difference, DifferenceInterval, Interval, Seconds, Share


@dataclass(frozen=True)
class Scored:
    """How well one search finds its products."""

    recall_at_1: "Share"
    """Recall@1."""
    map_at_r: "Share"
    """MAP@R."""
    interval95: "Interval | None"
    """95 % interval of MAP@R."""
    gain: "Difference"
    """Gain in MAP@R over the first backbone."""
    gain_interval95: "DifferenceInterval | None"
    """95 % interval of the gain, paired: the same queries, whole products drawn."""


@dataclass(frozen=True)
class BackboneScores:
    """One backbone: its pooled features alone, and with an LDA head; a search that has no photos is missing."""

    name: str
    """The backbone."""
    weights: str
    """Where its weights came from."""
    weights_are_a_file: bool
    """Whether `weights` is a file that was named."""
    untrained: dict[str, Scored]
    """Scores of the pooled features, by search: unseen and seen products."""
    with_head: dict[str, Scored]
    """Scores with an LDA head that was fitted on the other photos, by search."""
    seconds_a_thousand: "Seconds"
    """CPU time of embedding a thousand of these photos, all cores added, in seconds."""
    megabytes_a_thousand: "Amount"
    """Size of the pooled features of a thousand photos, in megabytes."""
    head_megabytes_a_thousand: "Amount"
    """Size of their embeddings with the head, in megabytes."""


@dataclass(frozen=True)
class CompareBackbonesReport:
    """Which backbone suits these photos."""

    images: "Count"
    """Images that were used."""
    products: "Count"
    """Products that they show."""
    protocol: str
    """What was held out, in words."""
    backbones: tuple[BackboneScores, ...]
    """The backbones, in the order in which they were listed."""
    recommended: str
    """The backbone to train with; empty where the intervals recommend none."""
    why: str
    """What the intervals show."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""


def recommend(backbones: Sequence[BackboneScores]) -> tuple[str, str]:
    """Return the backbone that the paired intervals carry, "" for none, and the reason.

    A backbone is recommended if its MAP@R with the head is significantly above the first backbone's in one search (the
    95 % interval of the paired difference lies above 0) and significantly below in none. Of several the one with the
    highest mean of MAP@R over the searches is taken.

    Args:
        backbones: all of them, the first one being what the others are compared with.
    """
    first = backbones[0]
    carried = [one for one in backbones[1:] if _is_better(one.with_head)]
    if not carried:
        return "", f"no backbone is significantly better than {first.name} (95 %, over products)"
    best = max(carried, key=lambda one: sum(scored.map_at_r for scored in one.with_head.values()))
    searches = [name for name, scored in best.with_head.items() if _low(scored) > 0]
    return (
        best.name,
        f"{best.name} finds {' and '.join(searches)} products significantly better than {first.name} (95 %)",
    )


def _is_better(scores: dict[str, Scored]) -> bool:
    below = [scored for scored in scores.values() if scored.gain_interval95 and scored.gain_interval95[1] < 0]
    return not below and any(_low(scored) > 0 for scored in scores.values())


def _low(scored: Scored) -> float:
    return scored.gain_interval95[0] if scored.gain_interval95 else 0.0
