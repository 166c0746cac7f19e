"""A state of the network that was scored, and when one is better than another.

The frozen backbone, its pooled features and the LDA head come first, then one candidate for each epoch. The one that
scores best on held-out photos is kept; the frozen backbone stays unless another scores better.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from dmlcli.learn.training.loop import Epoch
from dmlcli.learn.training.stages import State
from dmlcli.learn.validation.head_selection import mean
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.scoring import geometric_mean
from dmlcli.metrics import Interval
from dmlcli.model import UNTRAINED
from dmlcli.progress import Pass

FROZEN, POOLED = UNTRAINED  # the origins of candidates without a head
QueryScores = dict[str, dict[str, list[float | None]]]  # of each query, by search and metric
_LEAST_GAIN = 1.01  # of an epoch over candidates without gradient training: the best of many looks better than it is


@dataclass(frozen=True)
class Candidate:
    """A state of the network, with its MAP@R in each validation search; a checkpoint keeps its fields as they are."""

    origin: str
    scores: dict[str, float]  # none where nothing is held out, and of an epoch that was not scored
    state: State = field(default_factory=dict)  # the weights that differ from the frozen backbone's
    epochs: int = 0  # of gradient training
    stage: str = ""  # of that training: head, top or all
    behind: tuple[str, ...] = ()  # the searches in which it scores below the frozen backbone
    query_scores: QueryScores = field(default_factory=dict)  # of an epoch, in the first fold
    embeddings: tuple[Tensor, Tensor] | None = None  # (N, D) fitted and (V, D) scored images, by a trained backbone
    rates: tuple[float, ...] = ()  # the share of the learning rate in each of its epochs
    seconds: float = 0.0  # that its epochs took, without their scores

    @property
    def score(self) -> float | None:
        """One number for all searches."""
        return geometric_mean(self.scores.values()) if self.scores else None

    def beats(self, other: "Candidate") -> bool:
        """Return whether to keep this one rather than `other`; without scores the later one is kept.

        One that is below the frozen backbone in some search never replaces one that is not, however high it scores.
        """
        if self.score is None or other.score is None:
            return True
        if bool(self.behind) != bool(other.behind):
            return not self.behind
        return self.score > other.score * (_LEAST_GAIN if self.epochs and not other.epochs else 1)

    def metrics(self) -> dict[str, Any]:
        """Return its row of metrics.jsonl."""
        return {"candidate": self.origin, "map@r": self.score, **self.scores}


@dataclass(frozen=True)
class ScoredEpoch:
    """An epoch of gradient training, and the candidate that it ended with."""

    candidate: Candidate
    epoch: Epoch
    intervals: dict[str, Interval | None]  # of the scores, 95 %

    def metrics(self) -> dict[str, Any]:
        """Return its row of metrics.jsonl."""
        row = self.candidate.metrics()
        if any(self.intervals.values()):
            row["interval95"] = self.intervals
        epoch = asdict(self.epoch)
        diagnostics = epoch.pop("diagnostics")
        return row | {"stage": self.candidate.stage, "epoch": epoch.pop("number"), **epoch, **diagnostics}

    def progress(self, epochs: int, is_best: bool) -> Pass:
        """Return what the terminal shows of it: one of so many epochs, the best so far or not."""
        epoch, candidate = self.epoch, self.candidate
        scores = {name: (score, self.intervals.get(name)) for name, score in candidate.scores.items()}
        values = epoch.loss, epoch.learning_rate, epoch.diagnostics.active
        images_per_second = epoch.images / epoch.seconds
        return Pass(candidate.stage, epoch.number, epochs, *values, scores, is_best, images_per_second, epoch.seconds)


def frozen_candidate(plan: ValidationPlan, *, first: bool = False) -> Candidate:
    """Return the frozen backbone as a candidate, scored in all folds or in the first alone."""
    return Candidate(FROZEN, mean(plan.frozen_scores[:1] if first else plan.frozen_scores))


def pooled_candidate(plan: ValidationPlan, *, first: bool = False) -> Candidate:
    """Return the pooled features of the frozen backbone as a candidate, scored in all folds or in the first alone."""
    scores = mean(plan.pooled_scores[:1] if first else plan.pooled_scores)
    return Candidate(POOLED, scores, behind=behind(scores, frozen_candidate(plan, first=first).scores))


def select(plan: ValidationPlan, trained: Candidate) -> tuple[Candidate, Candidate]:
    """Return the candidate to keep if it beats the frozen backbone, and the frozen backbone scored in the same folds.

    Epochs are scored in the first fold alone. If the best of them does not beat the frozen backbone there, an LDA head
    that beats it over all folds is kept. The pooled features of the backbone are kept if they score higher still.

    Args:
        plan: the scores of the frozen backbone, its pooled features and the LDA head in each fold.
        trained: the best candidate of gradient training; the LDA head where no epoch was better than that.
    """
    best, frozen = lda_candidate(plan), frozen_candidate(plan)
    frozen_there = frozen_candidate(plan, first=True)
    if trained.epochs and (trained.beats(frozen_there) or not best.beats(frozen)):
        best, frozen = trained, frozen_there
    pooled = pooled_candidate(plan, first=frozen is frozen_there)
    if pooled.scores and pooled.beats(frozen) and pooled.beats(best):
        best = pooled
    return best, frozen


def lda_candidate(plan: ValidationPlan, *, first: bool = False) -> Candidate:
    """Return the LDA head as a candidate, scored in all folds or in the first alone."""
    scores = mean(plan.lda_scores[:1] if first else plan.lda_scores)
    return Candidate(str(plan.head_params), scores, behind=behind(scores, frozen_candidate(plan, first=first).scores))


def behind(scores: dict[str, float], frozen: dict[str, float]) -> tuple[str, ...]:
    """Return the names of the searches in which `scores` are below those of the frozen backbone."""
    return tuple(name for name, score in scores.items() if name in frozen and score < frozen[name])
