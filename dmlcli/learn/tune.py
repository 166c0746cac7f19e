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
from dmlcli.learn import rehearse
from dmlcli.learn.checkpoint import Checkpoint
from dmlcli.learn.choose import Choice, choose, mean, new_head, solve
from dmlcli.learn.clock import Clock, Pace
from dmlcli.learn.closed_form import CAREFUL, Setting
from dmlcli.learn.course import Course, State, fill, head_course, tell_small_products, whole_course
from dmlcli.learn.encode import forward_of
from dmlcli.learn.fit import Epoch, fit
from dmlcli.learn.heads import BlendHead, IdentityHead
from dmlcli.learn.material import Lesson, Material
from dmlcli.learn.network import Network
from dmlcli.learn.reading import features_of
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.strangers import REFUSED, Strangers
from dmlcli.learn.validate import together

_PROBE = 64  # photos that tell how long one takes
_PASSES = 2.2  # looks at all photos after the last epoch: to solve the head, and by the slower graph to embed
_WORTH = 1.01  # times the closed form's score: the best of many epochs looks better than it is


@dataclass(frozen=True)
class Trial:
    """A state of the network: where it came from, its MAP@R in each validation search, what changed."""

    origin: str
    scores: dict[str, float]  # none where there is nothing to validate with
    state: State = field(default_factory=dict)  # of the network, only what differs from the frozen backbone
    trained: int = 0  # epochs of gradient training behind it
    epoch: Epoch | None = None  # the last of them, where it is fresh

    @property
    def score(self) -> float | None:
        """One number for all searches."""
        return together(self.scores.values()) if self.scores else None

    def beats(self, other: "Trial") -> bool:
        """Whether to ship this one rather than `other`; without scores the later one."""
        if self.score is None or other.score is None:
            return True
        return self.score > other.score * (_WORTH if self.trained and not other.trained else 1)

    def facts(self) -> dict[str, Any]:
        """What metrics.jsonl tells of it."""
        told: dict[str, Any] = {"trial": self.origin, "map@r": self.score, **self.scores}
        if self.epoch is None:
            return told
        epoch = asdict(self.epoch)
        health = epoch.pop("health")
        return told | {"epoch": epoch.pop("number"), **epoch, **health}

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"origin": self.origin, "scores": self.scores, "state": self.state, "trained": self.trained}


@dataclass(frozen=True)
class Plan:
    """What the rehearsals found: how training is judged, and which closed form suits the photos."""

    lessons: list[Lesson]  # of each rehearsal; a single one of all photos, judged by nothing, where there is none
    how: str
    setting: Setting
    frozen: list[dict[str, float]]  # MAP@R of each search in each rehearsal
    closed: list[dict[str, float]]
    strangers: list[float]  # how close new products come to the closed form's, in each that holds some out

    def frozen_trial(self, *, first: bool = False) -> Trial:
        """The baseline, in all rehearsals or in the first alone."""
        return Trial("frozen backbone", mean(self.frozen[:1] if first else self.frozen))

    def closed_trial(self, *, first: bool = False) -> Trial:
        """The closed form, likewise."""
        return Trial(str(self.setting), mean(self.closed[:1] if first else self.closed))


def plan(material: Material, recipe: Recipe) -> Plan:
    """Rehearse the closed forms, and choose one."""
    items = material.photos.items
    made = rehearse.rehearsals(items, material.split, recipe.purpose, recipe.seed)
    lessons = [material.lesson(rehearsal.fit, rehearsal.searches) for rehearsal in made]
    frozen = [lesson.validation.scores(lesson.baseline.numpy()) for lesson in lessons]
    choice = Choice(CAREFUL, [], []) if recipe.head == "identity" else choose(lessons, recipe)
    if not lessons:
        lessons = [material.lesson(rehearse.fitted_in_the_end(items, material.split), {})]
    how = rehearse.describe(made, items)
    return Plan(lessons, how, choice.setting, frozen, choice.scores, choice.strangers)


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
    """The epochs of gradient training in the first rehearsal, from its closed form on, until they stagnate.

    Args:
        network: as `start` made it for the first lesson.
        checkpoint: where the epochs go on from, if it holds something, and where they leave their state.
        clock: says when it is time to come to an end.
    """
    lesson, best = planned.lessons[0], planned.closed_trial(first=True)
    if recipe.tune == "head" and not lesson.validation:
        return  # with nothing to judge them by, gradient steps on cached features are not worth their risk
    tell_small_products(lesson, recipe)
    course = course_of(network, lesson, planned.setting, recipe, device)
    stale = 0
    saved = checkpoint.load() if checkpoint else None
    if saved is not None:
        course.learner.load_state_dict(saved["learner"])
        best, stale = Trial(**saved["best"]), saved["stale"]
        yield best
    if recipe.patience and stale >= recipe.patience:
        return
    clock = clock or Clock()
    judging = _look(network, lesson, device) if clock.is_limited and recipe.tune != "head" else 0.0
    pace = Pace(clock, _PASSES * judging, judging, again=recipe.tune == "head")
    for epoch in fit(course.embed, course.learner, course.feed, pace.until):
        judged = time.monotonic()
        with course.learner.averaged():
            trial = Trial(f"epoch {epoch.number}", *course.score(), epoch.number, epoch)
        course.learner.told(trial.score)
        if clock.is_limited:
            spent = epoch.seconds, time.monotonic() - judged
            course.learner.epochs = pace.epochs(course.learner.epoch, recipe.epochs, *spent)
        stale = 0 if trial.beats(best) else stale + 1
        best = trial if trial.beats(best) else best
        yield trial
        if epoch.health.trouble:
            progress.warn(f"training stopped after {trial.origin}: {epoch.health.trouble}")
            return
        if checkpoint:
            checkpoint.save({"learner": course.learner.state_dict(), "best": best.kept(), "stale": stale})
        if stale == recipe.patience:
            return


def _look(network: Network, lesson: Lesson, device: torch.device) -> float:
    """Seconds that all photos of a lesson take to go through the backbone: what it is to judge an epoch."""
    forward, files = forward_of(copy.deepcopy(network).headless(), device), lesson.files[:_PROBE]
    features_of(files[:16], network.image, forward)
    started = time.monotonic()
    features_of(files, network.image, forward)
    return (time.monotonic() - started) / len(files) * (len(lesson.files) + len(lesson.validation_files))


def closeness(planned: Plan, best: Trial, recipe: Recipe) -> dict[str, float] | None:
    """The cosine that the photos of new products stay below, as model.json keeps it; None where nobody knows.

    That is where rehearsals hold out no products (`--for known`), and with a backbone that was trained, whose features
    would have to be computed once more.
    """
    found, lesson = planned.strangers, planned.lessons[0]
    if best.trained:  # epochs are judged in the first rehearsal
        strangers = Strangers(lesson)
        found = []
        if strangers and recipe.tune == "head":
            head = new_head(lesson, recipe)
            head.load_state_dict({name.removeprefix("head."): value for name, value in best.state.items()})
            found = [strangers.threshold_of(head, lesson)]
    if not found:
        return None
    return {"refused": REFUSED, "threshold": float(np.mean(found)), "rehearsals": len(found)}


def finish(material: Material, planned: Plan, best: Trial, recipe: Recipe) -> Network:
    """The network that ships: what was rehearsed, on all photos, those included that were held out.

    The closed form is solved anew, a head trained anew for as long as it took; a trained backbone stays as it is.
    """
    whole = material.lesson(rehearse.fitted_in_the_end(material.photos.items, material.split), {})
    network = start(material, whole, planned.setting, recipe)
    if not best.trained:
        return network
    if recipe.tune == "head":
        again = replace(recipe, epochs=best.trained)
        course = course_of(network, whole, planned.setting, again, torch.device("cpu"))
        for _ in fit(course.embed, course.learner, course.feed):
            pass
        course.score()  # which takes the means that are recalled
        return network.eval()
    trained = {name: value for name, value in best.state.items() if name.startswith("backbone")}
    network.load_state_dict(trained, strict=False)
    if isinstance(network.head, BlendHead):
        features = features_of(whole.files, network.image, forward_of(network.headless(), torch.device("cpu")))
        fill(network.head, features, whole.labels, planned.setting)
    return network


def compare_heads(lesson: Lesson, recipe: Recipe, specs: Iterable[str]) -> Iterator[tuple[str, Vectors, str]]:
    """Train a head with each loss, all from the most careful closed form, which itself comes first, under no name.

    Yields: the loss, the embeddings (len(validation.rows), D) after its last epoch, and what went wrong, if anything.
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
            trouble = str(error)
        with torch.no_grad():
            yield spec, head.eval()(lesson.validation_features).numpy(), trouble


def course_of(network: Network, lesson: Lesson, setting: Setting, recipe: Recipe, device: torch.device) -> Course:
    """The course that the recipe asks for."""
    if recipe.tune == "head":
        assert isinstance(network.head, BlendHead)
        return head_course(network.head, lesson, recipe)
    return whole_course(network, lesson, setting, recipe, device)
