"""The epochs of gradient training in the first fold, one candidate each, stage after stage until they stagnate."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import torch

from dmlcli import progress
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import Clock, Pace
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.candidate import Trial, behind, closed_trial, frozen_trial
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.stages import tell_small_products
from dmlcli.learn.training.worker import Errand
from dmlcli.learn.validation.plan import Plan
from dmlcli.learn.validation.training_data import Lesson


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
        closed_trial(planned, first=True),
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
        below = behind(scores, frozen_trial(planned, first=True).scores)
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


def _again(recipe: Recipe, lesson: Lesson) -> float:
    """How much longer than its epochs it takes to train the best anew on all photos; 0: it stays as it is."""
    if recipe.tune == "all" or lesson.maps is None:
        return 1.0 if recipe.tune == "head" else 0.0
    return len(lesson.maps.files) / len(lesson.labels)
