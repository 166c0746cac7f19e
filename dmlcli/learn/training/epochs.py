"""Gradient training in the first fold: one candidate for each epoch, stage after stage, until scores stop improving."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from dmlcli import progress
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import EpochPlanner, TimeBudget
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.candidate import Candidate, ScoredEpoch, behind, frozen_candidate, lda_candidate
from dmlcli.learn.training.checkpoint import FINAL_FIT, Checkpoint
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.training.loop import Epoch
from dmlcli.learn.training.loss_setup import note_small_products
from dmlcli.learn.training.stages import Stage, State
from dmlcli.learn.training.worker import WorkerTask
from dmlcli.learn.validation.plan import ValidationPlan

_STAGE_NOTES = {
    "none": "fine-tuning the backbone was skipped",
    "top": "fine-tuning the last stage",
    "all": "fine-tuning the whole network",
}


class GradientTraining:
    """Gradient training in the first fold, from its LDA head on; other processes take part by `run_worker`.

    Attributes:
        best: the best candidate so far, of the first fold.
    """

    def __init__(
        self,
        network: Network,
        plan: ValidationPlan,
        recipe: Recipe,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        time_budget: TimeBudget | None = None,
    ) -> None:
        """Prepare the training, or resume it where the checkpoint holds a state.

        Args:
            network: with the LDA head of the first fold.
            plan: the folds and their scores.
            recipe: all settings.
            device: on which the network is trained.
            checkpoint: where the state is saved after each epoch; None: nowhere.
            time_budget: when training should end; None: at the last epoch.

        Raises:
            CannotRun: the checkpoint is damaged.
        """
        self.network, self.plan, self.recipe, self.device = network, plan, recipe, device
        self._checkpoint, self._time_budget = checkpoint or Checkpoint(None), time_budget or TimeBudget()
        self.best, self._stage_name = lda_candidate(plan, first=True), stage_selection.first(recipe, plan.lda_only)
        self._saved = self._checkpoint.load()
        if self._saved is not None:
            with self._checkpoint.reading():
                self.best = _saved_candidate(self._saved["best"], network)
                self._stage_name = stage_selection.check(self._saved["stage"])

    @property
    def is_resumed(self) -> bool:
        """Whether training continues from a checkpoint."""
        return self._saved is not None

    def epochs(self) -> Iterator[ScoredEpoch]:
        """Train, and yield each epoch; `best` is up to date by then.

        With a time budget, only the last epoch of a stage may have scores.

        Raises:
            TrainingError: training diverges.
        """
        stage_name, fold, possible = self._stage_name, self.plan.folds[0], self.recipe.epochs
        if self._saved is not None and FINAL_FIT in self._saved:  # the epochs are done
            return
        while stage_name != "none":
            recipe = stage_selection.for_stage(self.recipe, stage_name)
            if stage_name != "head":
                progress.stage("fine-tuning", min(recipe.epochs, possible))
            if stage_name != "head" or fold.validation:  # a head that nothing can score keeps its LDA weights
                yield from self._train(recipe)
            with distributed.single_process():
                choice = stage_selection.next_stage(
                    stage_name, self.network, self.plan, self.recipe, self.device, self._time_budget
                )
            self._saved = None
            if choice.why:
                progress.note(f"{_STAGE_NOTES[choice.stage]}: {choice.why}")
            stage_name, possible = choice.stage, choice.epochs or possible

    def _train(self, recipe: Recipe) -> Iterator[ScoredEpoch]:
        """Train one stage until its last epoch, or until scores no longer improve."""
        fold, stale, fitted = self.plan.folds[0], 0, 0.0
        note_small_products(fold.train, recipe)
        network = copy.deepcopy(self.network)
        stage = stage_selection.make_stage(network, fold, self.plan.head_params, recipe, self.device)
        if self._saved is not None:
            with self._checkpoint.reading():
                stage.trainer.load_state_dict(self._saved["trainer"])
                stage.trainer.epochs = recipe.epochs  # a time budget of the interrupted run may have left fewer
                stale, fitted = int(self._saved["stale"]), float(self._saved["seconds"])
        if recipe.stops_after and stale >= recipe.stops_after:
            return
        planner, first = self._planner(network, recipe), stage.trainer.epoch
        distributed.broadcast(WorkerTask(network, fold, self.plan.head_params, recipe, stage.trainer.state_dict()))
        unscored: Epoch | None = None
        for epoch in stage.fit(planner.until):
            fitted += epoch.seconds
            may_skip = self._time_budget.is_limited and stage_selection.may_skip_scores(recipe)
            planner.trained(epoch.seconds, may_skip=may_skip)
            self._plan(stage, planner, recipe)  # this epoch may be the last
            is_last = stage.trainer.epoch >= stage.trainer.epochs or bool(epoch.diagnostics.trouble)
            unscored = epoch if planner.scores_last_only and not is_last else None
            if distributed.broadcast(unscored is None):
                scored, is_best = self._scored(stage, epoch, fitted, planner)
                stale = 0 if is_best else stale + 1
                if not planner.scores_last_only:  # the last epoch stays the last, at the end of the schedule
                    self._plan(stage, planner, recipe)
            else:
                scored, is_best = ScoredEpoch(_candidate(stage, epoch, {}, fitted), epoch, {}), False
            if recipe.tune != "head":
                progress.parts(stage.trainer.epochs - first)
            progress.learned(scored.progress(stage.trainer.epochs, is_best))
            yield scored
            if epoch.diagnostics.trouble:
                progress.warn(f"training stopped after {scored.candidate.origin}: {epoch.diagnostics.trouble}")
                stage.trainer.end()
            else:
                self._save(stage, stale, fitted)
            if recipe.stops_after and stale >= recipe.stops_after:
                stage.trainer.end()
        if distributed.broadcast(unscored is not None) and unscored is not None:  # time ran out before another epoch
            scored, is_best = self._scored(stage, unscored, fitted, planner)
            progress.learned(scored.progress(stage.trainer.epochs, is_best))
            yield scored
            self._save(stage, stale, fitted)

    def _plan(self, stage: Stage, planner: EpochPlanner, recipe: Recipe) -> None:
        """Fit the epochs that are left into the budget."""
        if self._time_budget.is_limited:
            stage.trainer.epochs = planner.epochs(stage.trainer.epoch, recipe.epochs)

    def _scored(self, stage: Stage, epoch: Epoch, seconds: float, planner: EpochPlanner) -> tuple[ScoredEpoch, bool]:
        """Score the state after an epoch, keep it if it is the best, and return whether it is."""
        started = time.monotonic()
        scored = self._evaluate(stage, epoch, seconds)
        planner.scored(time.monotonic() - started)
        stage.trainer.report_score(scored.candidate.score)
        is_best = scored.candidate.beats(self.best)
        self.best = scored.candidate if is_best else self.best
        return scored, is_best

    def _planner(self, network: Network, recipe: Recipe) -> EpochPlanner:
        """Return what fits the epochs of a stage into the time budget."""
        fold, each = self.plan.folds[0], 0.0
        if self._time_budget.is_limited and recipe.tune != "head":
            each = stage_selection.seconds_a_photo(network, fold, self.device)
        evaluation = each * stage_selection.scored_images(fold)
        final_passes = stage_selection.PASSES * each * len(fold.maps.files)
        ratio = self.plan.images_again / len(fold.train.labels)
        return EpochPlanner(self._time_budget, final_passes, evaluation, refit_ratio=ratio)

    def _evaluate(self, stage: Stage, epoch: Epoch, seconds: float) -> ScoredEpoch:
        """Score the state after an epoch, or its moving average; `seconds`: of all epochs so far."""
        vectors, state, fitted = stage.averaged_evaluation()
        unscored = _candidate(stage, epoch, state, seconds)
        if vectors is None:
            return ScoredEpoch(unscored, epoch, {})
        check_finite(f"after {unscored.origin}", validation_embeddings=[torch.from_numpy(vectors)])
        searches = self.plan.folds[0].validation.searches
        scores, intervals = searches.scores_with_intervals(vectors)
        below = behind(scores, frozen_candidate(self.plan, first=True).scores)
        scored = replace(unscored, scores=scores, behind=below, query_scores=searches.query_scores(vectors))
        if fitted is not None:
            scored = replace(scored, embeddings=(torch.from_numpy(fitted), torch.from_numpy(vectors)))
        return ScoredEpoch(scored, epoch, intervals)

    def _save(self, stage: Stage, stale: int, seconds: float) -> None:
        progress_ = {"stage": stage.recipe.tune, "stale": stale, "seconds": seconds}
        self._checkpoint.save(progress_ | {"trainer": stage.trainer.state_dict(), "best": vars(self.best)})


def _candidate(stage: Stage, epoch: Epoch, state: State, seconds: float) -> Candidate:
    """Return the state after an epoch as a candidate without scores; `seconds`: of all epochs so far."""
    rates = tuple(stage.trainer.rates)
    return Candidate(f"epoch {epoch.number}", {}, state, epoch.number, stage.recipe.tune, rates=rates, seconds=seconds)


def _saved_candidate(values: dict[str, Any], network: Network) -> Candidate:
    """Return the candidate in a checkpoint; raise KeyError, TypeError or ValueError where it does not fit."""
    candidate = Candidate(**values)
    expected = network.state_dict()
    for name, value in candidate.state.items():
        if value.shape != expected[name].shape:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, not {tuple(expected[name].shape)}")
    if any(not isinstance(score, float) for score in candidate.scores.values()) or not isinstance(
        candidate.epochs, int
    ):
        raise ValueError("a score or a number of epochs is not a number")
    if len(candidate.rates) != candidate.epochs:
        raise ValueError("not one learning rate for each epoch")
    if candidate.epochs and (not candidate.state or candidate.stage not in stage_selection.PARTS):
        raise ValueError("the state of the best epoch is missing")
    return candidate
