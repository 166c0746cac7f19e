"""What a search for a better recipe returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dmlcli.report.models_diff import ScoreDifference
from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Count, Seconds, Share

TrialOutcome = Literal["finished", "pruned", "failed"]
_DECIDES, _ALL = "map@r", "all"  # the metric that decides, and the name of all searches together


@dataclass(frozen=True)
class SweepTrial:
    """One recipe that was tried."""

    number: "Count"
    """Its number, from 0 in the order of the draws."""
    outcome: TrialOutcome
    """Finished; pruned: stopped because others were better by then; or failed."""
    score: "Share | None"
    """MAP@R over the folds of the search; null unless it finished."""
    changed: dict[str, Any]
    """The settings in which it differs from the default recipe."""
    is_default: bool
    """Whether it is the recipe that the others are variants of."""
    seconds: "Seconds"
    """Time that it took, in seconds."""
    trouble: str
    """Why it failed; empty where it did not."""


@dataclass(frozen=True)
class SweepReport:
    """The recipes that were tried, and what the photos that the search never saw say of the best one."""

    images: "Count"
    """Images that recipes were tried on."""
    products: "Count"
    """Products that they show."""
    folds: str
    """What the folds of the search held out, in words."""
    held_out: str
    """What the search never saw, in words."""
    trials: tuple[SweepTrial, ...]
    """All trials, the best first; those that did not finish last."""
    importance: "dict[str, Share]"
    """Share of each parameter in the differences between the trials (PED-ANOVA), the most important first."""
    recipe: dict[str, Any]
    """Every setting of the best recipe (docs/recipes.md)."""
    changed: dict[str, Any]
    """Those of them in which it differs from the default recipe."""
    file: str
    """The best recipe as a file that `train --recipe` takes."""
    chosen: str
    """The candidate that training by the best recipe keeps: an epoch, the LDA head or the frozen backbone."""
    default_chosen: str
    """The candidate that training by the default recipe keeps."""
    differences: tuple[ScoreDifference, ...]
    """Best recipe (first) and default recipe (second) on what the search never saw, with paired 95 % intervals."""
    better: bool
    """Whether the best recipe is significantly better than the default one there."""
    why: str
    """What the intervals show."""
    seconds: "Seconds"
    """Time of this command, in seconds."""
    caution: str = ""
    """What is wrong with the weights; empty where nothing is."""
    skipped: tuple[Skipped, ...] = ()
    """Inputs that could not be used."""


def decide(differences: Sequence[ScoreDifference], *, is_default: bool) -> tuple[bool, str]:
    """Return whether the best recipe is better than the default one, and the reason.

    It is better if its MAP@R over all queries that the search never saw is significantly higher (the 95 % interval of
    the paired difference lies above 0), and significantly lower in none of the searches.

    Args:
        differences: of the best recipe and the default one, with a row for all searches where there are several.
        is_default: no other recipe scored higher in the search.
    """
    if is_default:
        return False, "no recipe scored higher than the default one in the search"
    rows = [row for row in differences if row.metric == _DECIDES]
    whole = next((row for row in rows if row.search == _ALL), rows[0])
    worse = [row.search for row in rows if row.significant and (row.difference or 0.0) < 0]
    if whole.significant and not worse:  # then it is higher
        return True, "the best recipe is significantly better than the default one on photos that the search never saw"
    if worse:
        return False, f"the best recipe is significantly worse for {' and '.join(worse)} products"
    return False, "the best recipe is not significantly better than the default one on photos that the search never saw"
