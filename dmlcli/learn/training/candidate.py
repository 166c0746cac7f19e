"""A state of the network that is worth scoring, and when one is better than another.

The frozen backbone and the LDA head come first, then one candidate for each epoch; the best is kept, so that training
never ends worse than it began.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from dmlcli.learn.training.loop import Epoch
from dmlcli.learn.training.stages import State
from dmlcli.learn.validation.head_selection import mean
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.scoring import geometric_mean
from dmlcli.metrics import Interval
from dmlcli.progress import Pass

_WORTH = 1.01  # times the LDA head's score: the best of many epochs looks better than it is


@dataclass(frozen=True)
class Candidate:
    """A state of the network: where it came from, its MAP@R in each validation search, what changed."""

    origin: str
    scores: dict[str, float]  # none where there is nothing to validate with
    state: State = field(default_factory=dict)  # of the network, only what differs from the frozen backbone
    trained: int = 0  # epochs of gradient training behind it
    stage: str = ""  # of that training: head, top or all
    intervals: dict[str, Interval | None] = field(default_factory=dict)  # of the scores, 95 %
    epoch: Epoch | None = None  # the last of them, where it is fresh
    behind: tuple[str, ...] = ()  # the searches in which it scores below the frozen backbone

    @property
    def score(self) -> float | None:
        """One number for all searches."""
        return geometric_mean(self.scores.values()) if self.scores else None

    def beats(self, other: "Candidate") -> bool:
        """Whether to keep this one rather than `other`; without scores the later one.

        One that is below the frozen backbone in some search never replaces one that is not, however high it scores.
        """
        if self.score is None or other.score is None:
            return True
        if bool(self.behind) != bool(other.behind):
            return not self.behind
        return self.score > other.score * (_WORTH if self.trained and not other.trained else 1)

    def facts(self) -> dict[str, Any]:
        """Its row in metrics.jsonl."""
        facts: dict[str, Any] = {"candidate": self.origin, "map@r": self.score, **self.scores}
        if self.epoch is None:
            return facts
        if any(self.intervals.values()):
            facts["interval95"] = self.intervals
        epoch = asdict(self.epoch)
        diagnostics = epoch.pop("diagnostics")
        return facts | {"stage": self.stage, "epoch": epoch.pop("number"), **epoch, **diagnostics}

    def passed(self, passes: int, is_best: bool) -> Pass:
        """The last epoch as a person follows it, one of so many."""
        epoch = self.epoch
        assert epoch is not None
        scores = {name: (score, self.intervals.get(name)) for name, score in self.scores.items()}
        facts = epoch.loss, epoch.learning_rate, epoch.diagnostics.active
        pace = epoch.images / epoch.seconds
        return Pass(self.stage, epoch.number, passes, *facts, scores, is_best, pace, epoch.seconds)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        kept = ("origin", "scores", "state", "trained", "stage", "behind")
        return {name: getattr(self, name) for name in kept}


def frozen_candidate(plan: ValidationPlan, *, first: bool = False) -> Candidate:
    """The frozen backbone as a candidate, scored in all folds or in the first alone."""
    return Candidate("frozen backbone", mean(plan.frozen[:1] if first else plan.frozen))


def lda_candidate(plan: ValidationPlan, *, first: bool = False) -> Candidate:
    """The LDA head as a candidate, likewise."""
    scores = mean(plan.closed[:1] if first else plan.closed)
    return Candidate(str(plan.head_params), scores, behind=behind(scores, frozen_candidate(plan, first=first).scores))


def behind(scores: dict[str, float], frozen: dict[str, float]) -> tuple[str, ...]:
    """Return the names of the searches in which `scores` are below those of the frozen backbone."""
    return tuple(name for name, score in scores.items() if name in frozen and score < frozen[name])
