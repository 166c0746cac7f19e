"""The epochs of gradient training in the first fold, one candidate each, stage after stage until they stagnate."""

import copy
import time
from collections.abc import Iterator
from typing import Any

import torch

from dmlcli import progress
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import EpochPlanner, TimeBudget
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.candidate import Candidate, behind, frozen_candidate, lda_candidate
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.stages import note_small_products
from dmlcli.learn.training.worker import WorkerTask
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.training_data import Fold


def candidates(
    network: Network,
    plan: ValidationPlan,
    recipe: Recipe,
    device: torch.device,
    checkpoint: Checkpoint | None = None,
    time_budget: TimeBudget | None = None,
) -> Iterator[Candidate]:
    """The epochs of gradient training in the first fold, from its LDA head on, one stage after the other.

    Processes that have joined take part in them, by `run_worker`.

    Args:
        network: as `start` made it for the first fold.
        checkpoint: where the epochs go on from, if it holds something, and where they leave their state.
        time_budget: says when it is time to come to an end.
    """
    time_budget, checkpoint, fold = time_budget or TimeBudget(), checkpoint or Checkpoint(None), plan.folds[0]
    best, at, saved = (
        lda_candidate(plan, first=True),
        stage_selection.first(recipe, plan.lda_only),
        checkpoint.load(),
    )
    if saved is not None:
        with checkpoint.reading():
            best, at = _saved_candidate(saved["best"], network), stage_selection.check(saved["stage"])
        yield best
    while at != "none":
        asked = stage_selection.for_stage(recipe, at)
        for candidate in _epochs(copy.deepcopy(network), plan, asked, device, checkpoint, time_budget, best, saved):
            best = candidate if candidate.beats(best) else best
            yield candidate
        with distributed.single_process():
            choice, saved = (
                stage_selection.next_stage(at, network, fold, plan.head_params, recipe, device, time_budget),
                None,
            )
        if choice.why:
            outcome = {
                "none": "fine-tuning the backbone was skipped",
                "top": "fine-tuning the last stage",
                "all": "fine-tuning the whole network",
            }
            progress.note(f"{outcome[choice.stage]}: {choice.why}")
        at = choice.stage


def _saved_candidate(values: dict[str, Any], network: Network) -> Candidate:
    """The candidate in a checkpoint; raises KeyError, TypeError or ValueError where it is not one of this network."""
    candidate = Candidate(**values)
    expected = network.state_dict()
    for name, value in candidate.state.items():
        if value.shape != expected[name].shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(expected[name].shape)}")
    if any(not isinstance(score, float) for score in candidate.scores.values()) or not isinstance(
        candidate.trained, int
    ):
        raise ValueError("a score or a number of epochs is not a number")
    if candidate.trained and (not candidate.state or candidate.stage not in stage_selection.PARTS):
        raise ValueError("the state of the best epoch is missing")
    return candidate


def _epochs(
    network: Network,
    plan: ValidationPlan,
    recipe: Recipe,
    device: torch.device,
    checkpoint: Checkpoint,
    time_budget: TimeBudget,
    best: Candidate,
    saved: dict[str, Any] | None,
) -> Iterator[Candidate]:
    """The epochs at one stage, until they stagnate; `best` is what they must beat."""
    fold = plan.folds[0]
    if recipe.tune == "head" and not fold.validation:
        return  # with nothing to score them by, gradient steps on cached features are not worth their risk
    note_small_products(fold, recipe)
    stage = stage_selection.make_stage(network, fold, plan.head_params, recipe, device)
    stale = 0
    if saved is not None:
        with checkpoint.reading():
            stage.trainer.load_state_dict(saved["trainer"])
            stale = int(saved["stale"])
    if recipe.patience and stale >= recipe.patience:
        return
    judging = (
        stage_selection.evaluation_seconds(network, fold, device)
        if time_budget.is_limited and recipe.tune != "head"
        else 0.0
    )
    planner = EpochPlanner(time_budget, stage_selection.PASSES * judging, judging, again=_again(recipe, fold))
    distributed.broadcast(WorkerTask(network, fold, plan.head_params, recipe, stage.trainer.state_dict()))
    for epoch in fit(stage.embed, stage.trainer, stage.feed, planner.until):
        evaluating = time.monotonic()
        with stage.trainer.averaged():
            vectors, state = stage.evaluate()
        check_finite(
            f"after epoch {epoch.number}",
            validation_embeddings=[torch.from_numpy(vectors)] if vectors is not None else [],
        )
        scores, intervals = ({}, {}) if vectors is None else fold.validation.scores_with_intervals(vectors)
        below = behind(scores, frozen_candidate(plan, first=True).scores)
        candidate = Candidate(
            f"epoch {epoch.number}", scores, state, epoch.number, recipe.tune, intervals, epoch, below
        )
        stage.trainer.report_score(candidate.score)
        if time_budget.is_limited:
            spent = epoch.seconds, time.monotonic() - evaluating
            stage.trainer.epochs = planner.epochs(stage.trainer.epoch, recipe.epochs, *spent)
        stale = 0 if candidate.beats(best) else stale + 1
        best = candidate if candidate.beats(best) else best
        progress.learned(candidate.passed(stage.trainer.epochs, stale == 0))
        yield candidate
        if epoch.diagnostics.trouble:
            progress.warn(f"training stopped after {candidate.origin}: {epoch.diagnostics.trouble}")
            stage.trainer.end()
        else:
            checkpoint.save(
                {"trainer": stage.trainer.state_dict(), "best": best.kept(), "stale": stale, "stage": recipe.tune}
            )
        if recipe.patience and stale >= recipe.patience:
            stage.trainer.end()


def _again(recipe: Recipe, fold: Fold) -> float:
    """How much longer than its epochs it takes to train the best anew on all photos; 0: it stays as it is."""
    if recipe.tune == "all" or fold.maps is None:
        return 1.0 if recipe.tune == "head" else 0.0
    return len(fold.maps.files) / len(fold.labels)
