"""One training run: features, folds, LDA head, gradient training, and the best of them fitted on all photos."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dmlcli import progress
from dmlcli.catalog import Catalog, split_for_training
from dmlcli.embeddings import Embeddings
from dmlcli.learn.data import class_balance
from dmlcli.learn.networks import frozen, onnx_export
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import distributed, epochs, refit, stages
from dmlcli.learn.training.candidate import Candidate, frozen_candidate, lda_candidate
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.validation import synthetic_queries, training_data
from dmlcli.learn.validation.folds import final_fit_rows
from dmlcli.learn.validation.head_selection import FoldScores, initial_network
from dmlcli.learn.validation.plan import make_plan
from dmlcli.model import Model
from dmlcli.report.skipped import Skipped
from dmlcli.runs import Run
from dmlcli.workspace import Workspace


@dataclass(frozen=True)
class TrainedModel:
    """Training report; scores are MAP@R in validation."""

    model: Model
    origin: str
    validation: str = "none"
    frozen_score: float | None = None
    score: float | None = None
    searches: dict[str, dict[str, float]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False
    embedded: tuple[Embeddings, ...] = ()  # what the model makes of images whose features were cached
    reason: str = ""  # why the frozen backbone is kept, where training did not help


def train(
    photos: Catalog,
    recipe: Recipe,
    workspace: Workspace,
    current: Path,
    run: Run,
    *,
    device: str = "auto",
    time_budget: TimeBudget | None = None,
    log: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> TrainedModel:
    """Train on a catalog, and save the best model in the workspace's `models/`, under the id of the run.

    Args:
        photos: the catalog.
        recipe: all settings.
        workspace: where features and maps are cached.
        current: the model that will be replaced, if there is one.
        run: the run that keeps checkpoint and folds.
        device: as `--device`.
        time_budget: says when it is time to come to an end; None: never.
        log: called with the facts of each candidate.

    Raises:
        TrainingError: where training diverges.
        UsageError: for settings that do not go together.
    """
    stages.build_loss(recipe, 2, 2)  # what cannot go together is answered before the work starts
    torch_device, time_budget, draft = (
        pick_device(device),
        time_budget or TimeBudget(),
        workspace.models / run.record.id,
    )
    distributed.check_shareable(recipe, torch_device)
    distributed.take_all_cores()
    if recipe.tune == "none":
        weights = training_data.weights_of(recipe)
        untrained = frozen.build(weights, recipe.seed, recipe.pooling)
        return TrainedModel(frozen.save(draft, untrained, weights, photos, known=current), "frozen backbone")

    data = training_data.gather(
        photos, recipe, workspace, torch_device, split_for_training, time_budget, synthetic_queries.is_needed
    )
    states = zip(data.plain.items, data.plain.states, strict=True)
    run.check_images({item.path: [item.product, item.category, item.split, state.digest] for item, state in states})
    plan = make_plan(data, recipe, FoldScores(run.folds))
    fold = plan.folds[0]
    for unusual in class_balance.describe(data.photos.items, recipe):
        progress.note(unusual)
    progress.note(f"fitting on {len(fold.labels)} images of {fold.products} products; validation: {plan.summary}")
    baseline, best = frozen_candidate(plan), lda_candidate(plan)
    _tell(best, baseline)
    log(best.facts() | {"best": best.beats(baseline)})
    network = initial_network(data, fold, plan.head_params, recipe)
    interrupted, first = False, lda_candidate(plan, first=True)
    try:
        with distributed.process_group():  # until here the other processes, if there are any, have waited
            for candidate in epochs.candidates(
                network, plan, recipe, torch_device, Checkpoint(run.checkpoint), time_budget
            ):
                _tell(candidate, first)
                log(candidate.facts() | {"best": candidate.beats(first)})
                first = candidate if candidate.beats(first) else first
    except KeyboardInterrupt:
        interrupted = True
        progress.note("interrupted: saving the best model so far")

    if first.trained:
        best, baseline = first, frozen_candidate(plan, first=True)
    closest, reason = None, ""
    if not best.beats(baseline):
        reason = why_frozen(best, baseline, recipe.purpose)
        best, network = baseline, data.pretrained
    else:
        closest = refit.unknown_product_threshold(plan, best, recipe)
        network = refit.finish(data, plan, best, recipe, torch_device, again=not interrupted)
    items = data.photos.items
    products = sorted({items[row].product for row in final_fit_rows(items, data.split)})
    searches = {name: {"frozen": baseline.scores[name], "chosen": score} for name, score in best.scores.items()}
    record = replace(
        frozen.record(data.weights),
        recipe=vars(recipe),
        products=products,
        held_out=sorted({item.product for item in items} - {*products, ""}),
        scores={
            "validation": plan.summary,
            "map@r": best.score,
            "frozen map@r": baseline.score,
            "searches": searches,
            "chosen": best.origin,
            "open_set": closest,
        },
    )
    same_backbone = (best.stage == "head" or not best.trained) and network is not data.pretrained
    samples = frozen.samples(data.photos, data.weights)
    model = onnx_export.save(draft, network, record, samples, data.model.graph if same_backbone else None)
    reusable = torch_device.type == "cpu" and same_backbone
    return TrainedModel(
        model=model,
        origin=best.origin,
        validation=plan.summary,
        frozen_score=baseline.score,
        score=best.score,
        searches=searches,
        skipped=tuple(data.skipped),
        interrupted=interrupted,
        embedded=(data.embedded(network.head, model.record.fingerprint),) if reusable else (),
        reason=reason,
    )


def why_frozen(best: Candidate, baseline: Candidate, purpose: str) -> str:
    """Say why the frozen backbone is kept: what the best of training scored in validation, and what `--for` does.

    Args:
        best: the best state that training came to.
        baseline: the frozen backbone in the same searches.
        purpose: the value of `--for`.
    """
    if not best.behind:
        return "training scored no better than the frozen backbone on held-out photos"
    scores = {
        name: f"MAP@R {100 * score:.1f} %, frozen backbone {100 * baseline.scores[name]:.1f} %"
        for name, score in best.scores.items()
    }
    worse = " and ".join(f"for {name} products ({scores[name]})" for name in best.behind)
    said = f"training made the search worse {worse}"
    others = [name for name in scores if name not in best.behind]
    if purpose == "both" and others:
        said += f"; if you search for {others[0]} products only ({scores[others[0]]}), use --for {others[0]}"
    return said


def _tell(candidate: Candidate, best: Candidate) -> None:
    """Print one line for an LDA head that is better; epochs are shown as they come."""
    if candidate.epoch is None and candidate.scores and candidate.beats(best):
        said = ", ".join(f"{name} products {100 * score:.1f} %" for name, score in candidate.scores.items())
        progress.note(f"{candidate.origin}  MAP@R: {said}")
