"""From features to the model that ships: closed forms, then gradient training, and the better of the two on everything.

A trial is a state of the network worth scoring. The closed form comes first, then one trial per epoch; whoever consumes
them keeps the best, so that training can never end worse than its own start.
"""

import copy
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from dmlcli import progress
from dmlcli.embeddings import Vectors
from dmlcli.errors import TrainingError
from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.heads import BlendHead, IdentityHead
from dmlcli.learn.networks.inference import forward_of, search_dtype
from dmlcli.learn.networks.lda import CAREFUL, Setting
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import Clock, Pace
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.training.loop import Epoch, fit
from dmlcli.learn.training.stages import State, fill, head_course, tell_small_products
from dmlcli.learn.validation import folds, synthetic_queries
from dmlcli.learn.validation.head_selection import Choice, Folds, choose, mean, new_head, solve
from dmlcli.learn.validation.open_set import REFUSED, Strangers
from dmlcli.learn.validation.scoring import together
from dmlcli.learn.validation.training_data import Lesson, Material
from dmlcli.metrics import Interval
from dmlcli.progress import Pass

_WORTH = 1.01  # times the closed form's score: the best of many epochs looks better than it is


@dataclass(frozen=True)
class Trial:
    """A state of the network: where it came from, its MAP@R in each validation search, what changed."""

    origin: str
    scores: dict[str, float]  # none where there is nothing to validate with
    state: State = field(default_factory=dict)  # of the network, only what differs from the frozen backbone
    trained: int = 0  # epochs of gradient training behind it
    depth: str = ""  # of that training: head, top or all
    intervals: dict[str, Interval | None] = field(default_factory=dict)  # of the scores, 95 %
    epoch: Epoch | None = None  # the last of them, where it is fresh
    behind: tuple[str, ...] = ()  # the searches in which it scores below the frozen backbone

    @property
    def score(self) -> float | None:
        """One number for all searches."""
        return together(self.scores.values()) if self.scores else None

    def beats(self, other: "Trial") -> bool:
        """Whether to keep this one rather than `other`; without scores the later one.

        One that is below the frozen backbone in some search never replaces one that is not, however high it scores.
        """
        if self.score is None or other.score is None:
            return True
        if bool(self.behind) != bool(other.behind):
            return not self.behind
        return self.score > other.score * (_WORTH if self.trained and not other.trained else 1)

    def facts(self) -> dict[str, Any]:
        """What metrics.jsonl tells of it."""
        told: dict[str, Any] = {"trial": self.origin, "map@r": self.score, **self.scores}
        if self.epoch is None:
            return told
        if any(self.intervals.values()):
            told["interval95"] = self.intervals
        epoch = asdict(self.epoch)
        health = epoch.pop("health")
        return told | {"depth": self.depth, "epoch": epoch.pop("number"), **epoch, **health}

    def passed(self, passes: int, is_best: bool) -> Pass:
        """The last epoch as a person follows it, one of so many."""
        epoch = self.epoch
        assert epoch is not None
        scores = {name: (score, self.intervals.get(name)) for name, score in self.scores.items()}
        facts = epoch.loss, epoch.learning_rate, epoch.health.active
        pace = epoch.images / epoch.seconds
        return Pass(self.depth, epoch.number, passes, *facts, scores, is_best, pace, epoch.seconds)

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        kept = ("origin", "scores", "state", "trained", "depth", "behind")
        return {name: getattr(self, name) for name in kept}


@dataclass(frozen=True)
class Plan:
    """What the rehearsals found: how training is judged, and which closed form suits the photos."""

    lessons: list[Lesson]  # of each rehearsal; a single one of all photos, judged by nothing, where there is none
    how: str
    setting: Setting
    frozen: list[dict[str, float]]  # MAP@R of each search in each rehearsal
    closed: list[dict[str, float]]
    strangers: list[float]  # how close new products come to the closed form's, in each that holds some out
    only_closed: bool = False  # whether the searches say too little to trust gradient steps by them

    def frozen_trial(self, *, first: bool = False) -> Trial:
        """The baseline, in all rehearsals or in the first alone."""
        return Trial("frozen backbone", mean(self.frozen[:1] if first else self.frozen))

    def closed_trial(self, *, first: bool = False) -> Trial:
        """The closed form, likewise."""
        scores = mean(self.closed[:1] if first else self.closed)
        return Trial(str(self.setting), scores, behind=behind(scores, self.frozen_trial(first=first).scores))


def behind(scores: dict[str, float], frozen: dict[str, float]) -> tuple[str, ...]:
    """Return the names of the searches in which `scores` are below those of the frozen backbone."""
    return tuple(name for name, score in scores.items() if name in frozen and score < frozen[name])


def plan(material: Material, recipe: Recipe, fold_scores: Folds | None = None) -> Plan:
    """Rehearse the closed forms, and choose one; `fold_scores` keeps the scores of each rehearsal."""
    items = material.photos.items
    made = folds.rehearsals(items, material.split, recipe.purpose, recipe.seed)
    lessons = [material.lesson(rehearsal.fit, rehearsal.searches) for rehearsal in made]
    how = folds.describe(made, items)
    if material.imitates:
        lessons, how = synthetic_queries.lessons(material, recipe), synthetic_queries.HOW
    frozen = [lesson.validation.scores(lesson.baseline.numpy()) for lesson in lessons]
    one_sided = recipe.purpose == "both" and not any("new" in lesson.validation.names for lesson in lessons)
    if recipe.head == "identity":
        choice = Choice(CAREFUL, [], [])
    elif lessons and one_sided:
        choice = Choice(CAREFUL, [_scores(lesson, CAREFUL, recipe) for lesson in lessons], [])
        how += "; too few products to hold any out: the most careful setting"
    else:
        choice = choose(lessons, recipe, fold_scores)
    if not lessons:
        lessons = [material.lesson(folds.fitted_in_the_end(items, material.split), {})]
    only_closed = one_sided or material.imitates
    return Plan(lessons, how, choice.setting, frozen, choice.scores, choice.strangers, only_closed)


@torch.no_grad()
def _scores(lesson: Lesson, setting: Setting, recipe: Recipe) -> dict[str, float]:
    """What one closed form reaches in a lesson."""
    head = new_head(lesson, recipe)
    solve(head, lesson).fill(head, setting)
    return lesson.validation.scores(head(lesson.validation_features).numpy())


def start(material: Material, lesson: Lesson, setting: Setting, recipe: Recipe) -> Network:
    """The frozen backbone with a head for a lesson, set by its closed form."""
    trunk = material.trunk
    head = IdentityHead(material.views.shape[-1]) if recipe.head == "identity" else new_head(lesson, recipe)
    if isinstance(head, BlendHead):
        solve(head, lesson).fill(head, setting)
    return Network(trunk.backbone, head, trunk.image, pooling=trunk.pooling, mirror=trunk.mirror).eval()


def trials(
    network: Network,
    planned: Plan,
    recipe: Recipe,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    clock: Clock | None = None,
) -> Iterator[Trial]:
    """The epochs of gradient training in the first rehearsal, from its closed form on, one depth after the other.

    Processes that have joined take part in them, by `follow`.

    Args:
        network: as `start` made it for the first lesson.
        checkpoint: where the epochs go on from, if it holds something, and where they leave their state.
        clock: says when it is time to come to an end.
    """
    clock, checkpoint, lesson = clock or Clock(), checkpoint or Checkpoint(None), planned.lessons[0]
    best, at, saved = (
        planned.closed_trial(first=True),
        stage_selection.first(recipe, planned.only_closed),
        checkpoint.load(),
    )
    if saved is not None:
        with checkpoint.reading():
            best, at = _saved_trial(saved["best"], network), stage_selection.check(saved["depth"])
        yield best
    while at != "none":
        asked = stage_selection.at_depth(recipe, at)
        for trial in _epochs(copy.deepcopy(network), planned, asked, device, checkpoint, clock, best, saved):
            best = trial if trial.beats(best) else best
            yield trial
        with distributed.alone():
            choice, saved = stage_selection.deeper(at, network, lesson, planned.setting, recipe, device, clock), None
        if choice.why:
            told = {"none": "not deeper than the head", "top": "now the last stage", "all": "now the whole network"}
            progress.note(f"{told[choice.depth]}: {choice.why}")
        at = choice.depth


def _saved_trial(values: dict[str, Any], network: Network) -> Trial:
    """The trial in a checkpoint; raises KeyError, TypeError or ValueError where it is not one of this network."""
    trial = Trial(**values)
    expected = network.state_dict()
    for name, value in trial.state.items():
        if value.shape != expected[name].shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(expected[name].shape)}")
    if any(not isinstance(score, float) for score in trial.scores.values()) or not isinstance(trial.trained, int):
        raise ValueError("a score or a number of epochs is not a number")
    if trial.trained and (not trial.state or trial.depth not in stage_selection.PARTS):
        raise ValueError("the state of the best epoch is missing")
    return trial


def _epochs(
    network: Network,
    planned: Plan,
    recipe: Recipe,
    device: torch.device,
    checkpoint: Checkpoint,
    clock: Clock,
    best: Trial,
    saved: dict[str, Any] | None,
) -> Iterator[Trial]:
    """The epochs at one depth, until they stagnate; `best` is what they must beat."""
    lesson = planned.lessons[0]
    if recipe.tune == "head" and not lesson.validation:
        return  # with nothing to judge them by, gradient steps on cached features are not worth their risk
    tell_small_products(lesson, recipe)
    course = stage_selection.course_of(network, lesson, planned.setting, recipe, device)
    stale = 0
    if saved is not None:
        with checkpoint.reading():
            course.learner.load_state_dict(saved["learner"])
            stale = int(saved["stale"])
    if recipe.patience and stale >= recipe.patience:
        return
    judging = stage_selection.look_of(network, lesson, device) if clock.is_limited and recipe.tune != "head" else 0.0
    pace = Pace(clock, stage_selection.PASSES * judging, judging, again=_again(recipe, lesson))
    distributed.told(Errand(network, lesson, planned.setting, recipe, course.learner.state_dict()))
    for epoch in fit(course.embed, course.learner, course.feed, pace.until):
        judged = time.monotonic()
        with course.learner.averaged():
            vectors, state = course.judge()
        check_finite(
            f"after epoch {epoch.number}",
            validation_embeddings=[torch.from_numpy(vectors)] if vectors is not None else [],
        )
        scores, intervals = ({}, {}) if vectors is None else lesson.validation.judged(vectors)
        below = behind(scores, planned.frozen_trial(first=True).scores)
        trial = Trial(f"epoch {epoch.number}", scores, state, epoch.number, recipe.tune, intervals, epoch, below)
        course.learner.told(trial.score)
        if clock.is_limited:
            spent = epoch.seconds, time.monotonic() - judged
            course.learner.epochs = pace.epochs(course.learner.epoch, recipe.epochs, *spent)
        stale = 0 if trial.beats(best) else stale + 1
        best = trial if trial.beats(best) else best
        progress.learned(trial.passed(course.learner.epochs, stale == 0))
        yield trial
        if epoch.health.trouble:
            progress.warn(f"training stopped after {trial.origin}: {epoch.health.trouble}")
            course.learner.end()
        else:
            checkpoint.save(
                {"learner": course.learner.state_dict(), "best": best.kept(), "stale": stale, "depth": recipe.tune}
            )
        if recipe.patience and stale >= recipe.patience:
            course.learner.end()


@dataclass(frozen=True)
class Errand:
    """What the leader of several processes hands the others: all that an equal course starts from."""

    network: Network
    lesson: Lesson
    setting: Setting
    recipe: Recipe
    state: dict[str, Any]  # of the learner


def follow(device: torch.device) -> None:
    """Take part in the epochs that another process leads, in its `trials`, until it has no more of them."""
    with distributed.joined():
        nothing: Errand | None = None
        while (errand := distributed.told(nothing)) is not None:
            course = stage_selection.course_of(errand.network, errand.lesson, errand.setting, errand.recipe, device)
            course.learner.load_state_dict(errand.state)
            for _ in fit(course.embed, course.learner, course.feed):
                with course.learner.averaged():
                    course.judge()


def _again(recipe: Recipe, lesson: Lesson) -> float:
    """How much longer than its epochs it takes to train the best anew on all photos; 0: it stays as it is."""
    if recipe.tune == "all" or lesson.maps is None:
        return 1.0 if recipe.tune == "head" else 0.0
    return len(lesson.maps.files) / len(lesson.labels)


def closeness(planned: Plan, best: Trial, recipe: Recipe) -> dict[str, float] | None:
    """The cosine that the photos of new products stay below, as model.json keeps it; None where nobody knows.

    That is where rehearsals hold out no products (`--for known`), and with a backbone that was trained, whose features
    would have to be computed once more.
    """
    found, lesson = planned.strangers, planned.lessons[0]
    if best.trained:  # epochs are judged in the first rehearsal
        strangers = Strangers(lesson)
        found = []
        if strangers and best.depth == "head":
            head = new_head(lesson, recipe)
            head.load_state_dict({name.removeprefix("head."): value for name, value in best.state.items()})
            found = [strangers.threshold_of(head, lesson)]
    if not found:
        return None
    return {"refused": REFUSED, "threshold": float(np.mean(found)), "rehearsals": len(found)}


def finish(
    material: Material,
    planned: Plan,
    best: Trial,
    recipe: Recipe,
    device: torch.device,
    *,
    again: bool = True,
) -> Network:
    """The network that ships: what was rehearsed, on all photos, those included that were held out.

    The closed form is solved anew, a head or a last stage trained anew for as long as it took; a backbone that was
    trained as a whole stays as it is.

    Args:
        again: False where time is up: a last stage stays as it is too.
    """
    whole = material.lesson(folds.fitted_in_the_end(material.photos.items, material.split), {})
    network = start(material, whole, planned.setting, recipe)
    if not best.trained:
        return network
    if best.depth == "head" or (best.depth == "top" and again):
        asked = replace(stage_selection.at_depth(recipe, best.depth), epochs=best.trained)
        course = stage_selection.course_of(network, whole, planned.setting, asked, device)
        for _ in fit(course.embed, course.learner, course.feed):
            pass
        with course.learner.averaged():
            _, state = course.judge()  # which takes the means that are recalled
        check_finite(
            "in the final fit on all photos", weights=(part for part in state.values() if part.is_floating_point())
        )
        network.load_state_dict(state, strict=False)
        return network.eval()
    trained = {name: value for name, value in best.state.items() if name.startswith("backbone")}
    network.load_state_dict(trained, strict=False)
    if isinstance(network.head, BlendHead):
        cpu = torch.device("cpu")
        forward = forward_of(network.headless(), cpu, search_dtype(cpu))
        features = features_of(whole.files, network.image, forward)
        fill(network.head, features, whole, planned.setting)
    return network


def compare_heads(lesson: Lesson, recipe: Recipe, specs: Iterable[str]) -> Iterator[tuple[str, Vectors | None, str]]:
    """Train a head with each loss, all from the most careful closed form, which itself comes first, under no name.

    Yields: the loss, the embeddings (len(validation.rows), D) after its last epoch, and what went wrong, if anything;
    None in place of embeddings where training diverged.
    """
    start = new_head(lesson, recipe)
    solve(start, lesson).fill(start, CAREFUL)
    with torch.no_grad():
        yield "", start(lesson.validation_features).numpy(), ""
    for spec in specs:
        torch.manual_seed(recipe.seed)
        head, trouble = copy.deepcopy(start), ""
        try:
            course = head_course(head, lesson, replace(recipe, loss=spec))
            for epoch in fit(course.embed, course.learner, course.feed):
                trouble = epoch.health.trouble
        except TrainingError as error:
            yield spec, None, str(error)
            continue
        with torch.no_grad():
            yield spec, head.eval()(lesson.validation_features).numpy(), trouble
