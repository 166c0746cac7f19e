"""What follows once a candidate is selected: a fit on all photos, and the threshold for unknown products."""

import copy
import math
import time
from dataclasses import replace

import numpy as np
import torch

from dmlcli import progress
from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.heads import BlendHead, HeadSpec
from dmlcli.learn.networks.inference import forward_of, search_dtype
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import EXPORT, WORTH_STARTING, TimeBudget
from dmlcli.learn.training import distributed, stage_selection
from dmlcli.learn.training.backbone_stages import solve_head
from dmlcli.learn.training.candidate import POOLED, Candidate
from dmlcli.learn.training.checkpoint import FINAL_FIT, Checkpoint
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.training.stages import State
from dmlcli.learn.training.worker import WorkerTask
from dmlcli.learn.validation.head_selection import initial_network, new_head
from dmlcli.learn.validation.open_set import REJECT_RATE, OpenSetThreshold
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.training_data import TrainingData

_KEPT = "the backbone was trained on those of the first fold, the head is fitted on all"


def unknown_product_threshold(plan: ValidationPlan, best: Candidate) -> dict[str, float] | None:
    """Return the cosine that the photos of unseen products stay below, as model.json keeps it; None: not known.

    That is where folds hold out no products (`--for seen`), and without a head.
    """
    if best.origin == POOLED:
        return None
    found, fold = plan.open_set, plan.folds[0]
    if best.epochs:  # epochs are scored in the first fold
        open_set = OpenSetThreshold(fold)
        found = []
        if open_set and best.embeddings:
            fitted, scored = best.embeddings
            found = [open_set.threshold(scored, fitted)]
        elif open_set and best.stage == "head":
            head = new_head(fold, plan.head_spec)
            head.load_state_dict({name.removeprefix("head."): value for name, value in best.state.items()})
            found = [open_set.threshold_of(head, fold)]
    if not found:
        return None
    return {"refused": REJECT_RATE, "threshold": float(np.mean(found)), "folds": len(found)}


def seconds_again(plan: ValidationPlan, best: Candidate) -> float:
    """Return the seconds that training a candidate again on all photos takes, by those of the first fold."""
    return best.seconds * plan.images_again / len(plan.folds[0].train.labels)


def finish(
    data: TrainingData,
    plan: ValidationPlan,
    best: Candidate,
    recipe: Recipe,
    device: torch.device,
    *,
    again: bool = True,
    checkpoint: Checkpoint | None = None,
    time_budget: TimeBudget | None = None,
) -> Network:
    """Return the final network: the selected candidate fitted on the photos of all folds.

    Pooled features have nothing to fit. The LDA head is solved again. What was trained is trained again, for as many
    epochs as the candidate and at their learning rates; then the head of a trained backbone is solved again.

    Args:
        data: all photos.
        plan: the selected hyperparameters of the LDA head.
        best: the selected candidate.
        recipe: all settings.
        device: on which it trains.
        again: False after an interruption: a backbone keeps the weights of the first fold.
        checkpoint: where the state is saved after each epoch, and which may hold one; None: nowhere.
        time_budget: may have too little time for this; then a backbone keeps the weights of the first fold, too.

    Raises:
        CannotRun: the checkpoint is damaged.
        TrainingError: training diverges.
    """
    whole = data.fold(data.split.fit, {})
    if best.origin == POOLED:
        return initial_network(data, whole, plan.head_params, HeadSpec("identity", 0))
    network = initial_network(data, whole, plan.head_params, plan.head_spec)
    if not best.epochs:
        return network
    network = copy.deepcopy(network)  # the frozen backbone stays as it is
    if best.stage == "head" or (plan.images_again and again):
        task = WorkerTask(network, whole, plan.head_params, stage_selection.for_stage(recipe, best.stage), {}, True)
        state = _trained_again(task, plan, best, device, checkpoint or Checkpoint(None), time_budget or TimeBudget())
        if state is not None:
            network.load_state_dict(state, strict=False)
            return network.eval()
        progress.note(f"the budget has no time to train on all photos: {_KEPT}")
    elif plan.images_again:
        progress.note(f"interrupted before training on all photos: {_KEPT}")
    trained = {name: value for name, value in best.state.items() if name.startswith("backbone")}
    network.load_state_dict(trained, strict=False)
    if isinstance(network.head, BlendHead):
        cpu = torch.device("cpu")
        forward = forward_of(network.headless(), cpu, search_dtype(cpu))
        features = features_of(whole.train.files, network.image, forward)
        solve_head(network.head, features, whole.train, plan.head_params)
    return network


def _trained_again(
    task: WorkerTask,
    plan: ValidationPlan,
    best: Candidate,
    device: torch.device,
    checkpoint: Checkpoint,
    time_budget: TimeBudget,
) -> State | None:
    """Return the weights after as many epochs on all photos as those of a candidate; None where time runs out."""
    end = math.inf
    if time_budget.is_limited and best.stage != "head":
        each = stage_selection.seconds_a_photo(task.network, task.fold, device)
        end = time_budget.until(EXPORT + stage_selection.PASSES * each * len(task.fold.maps.files))
        least = seconds_again(plan, best) * (1 - (1 - WORTH_STARTING) / best.epochs)  # the last epoch may be cut short
        if time.monotonic() + least > end:
            return None
    stage = stage_selection.make_stage(task.network, task.fold, task.head_params, task.recipe, device)
    stage.trainer.repeat(best.rates)
    saved = checkpoint.load() or {}
    if FINAL_FIT in saved:
        with checkpoint.reading():
            stage.trainer.load_state_dict(saved[FINAL_FIT])
    distributed.broadcast(replace(task, state=stage.trainer.state_dict()))
    for _ in stage.fit(lambda: end):
        kept = {"best": vars(best), "stage": best.stage, FINAL_FIT: stage.trainer.state_dict()}
        checkpoint.save(kept)
    if not distributed.broadcast(stage.trainer.epoch == best.epochs):
        return None
    state = stage.averaged_evaluation().state  # which sets the head or its prototypes
    weights = (part for part in state.values() if part.is_floating_point())
    check_finite("in the final fit on all photos", weights=weights)
    return state
