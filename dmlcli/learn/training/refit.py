"""What follows once a candidate is selected: a fit on all photos, and the threshold for unknown products."""

from dataclasses import replace

import numpy as np
import torch

from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.heads import BlendHead, HeadSpec
from dmlcli.learn.networks.inference import forward_of, search_dtype
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import stage_selection
from dmlcli.learn.training.backbone_stages import solve_head
from dmlcli.learn.training.candidate import POOLED, Candidate
from dmlcli.learn.training.diagnostics import check_finite
from dmlcli.learn.validation.head_selection import initial_network, new_head
from dmlcli.learn.validation.open_set import REJECT_RATE, OpenSetThreshold
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.training_data import TrainingData


def unknown_product_threshold(plan: ValidationPlan, best: Candidate) -> dict[str, float] | None:
    """Return the cosine that the photos of unseen products stay below, as model.json keeps it; None: not known.

    That is where folds hold out no products (`--for seen`), with a backbone that was trained, whose features would have
    to be computed once more, and without a head.
    """
    if best.origin == POOLED:
        return None
    found, fold = plan.open_set, plan.folds[0]
    if best.epochs:  # epochs are scored in the first fold
        open_set = OpenSetThreshold(fold)
        found = []
        if open_set and best.stage == "head":
            head = new_head(fold, plan.head_spec)
            head.load_state_dict({name.removeprefix("head."): value for name, value in best.state.items()})
            found = [open_set.threshold_of(head, fold)]
    if not found:
        return None
    return {"refused": REJECT_RATE, "threshold": float(np.mean(found)), "folds": len(found)}


def finish(
    data: TrainingData,
    plan: ValidationPlan,
    best: Candidate,
    recipe: Recipe,
    device: torch.device,
    *,
    again: bool = True,
) -> Network:
    """Return the final network: the selected candidate fitted on the photos of all folds.

    Pooled features have nothing to fit. The LDA head is solved again; a head or a last stage is trained again for as
    many epochs as the candidate. A whole backbone is not trained again.

    Args:
        data: all photos.
        plan: the selected hyperparameters of the LDA head.
        best: the selected candidate.
        recipe: all settings.
        device: on which it trains.
        again: False after an interruption: a last stage is not trained again either.
    """
    whole = data.fold(data.split.fit, {})
    if best.origin == POOLED:
        return initial_network(data, whole, plan.head_params, HeadSpec("identity", 0))
    network = initial_network(data, whole, plan.head_params, plan.head_spec)
    if not best.epochs:
        return network
    if best.stage == "head" or (best.stage == "top" and again):
        asked = replace(stage_selection.for_stage(recipe, best.stage), epochs=best.epochs)
        stage = stage_selection.make_stage(network, whole, plan.head_params, asked, device)
        for _ in stage.fit():
            pass
        with stage.trainer.averaged():
            _, state = stage.evaluate()  # which sets the prototypes
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
        features = features_of(whole.train.files, network.image, forward)
        solve_head(network.head, features, whole.train, plan.head_params)
    return network
