"""Train a model: features, cross-validation, gradient training, and the best candidate fitted on all photos.

`dmlcli.training_run` adds what a command does with the model: it embeds and indexes the catalog, and reports.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import torch

from dmlcli import fitted_photos, held_out_scores, progress
from dmlcli.catalog import Catalog, split_for_training
from dmlcli.embeddings import Embeddings
from dmlcli.held_out_scores import HeldOutSearch
from dmlcli.learn.data import augmentation, class_balance
from dmlcli.learn.networks import frozen, onnx_export
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import distributed, refit, worker
from dmlcli.learn.training.answer_fit import FoldResults, fit_answers
from dmlcli.learn.training.candidate import FROZEN, POOLED, Candidate, frozen_candidate, lda_candidate, select
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.training.current_model import CurrentScores, score_current
from dmlcli.learn.training.epochs import GradientTraining
from dmlcli.learn.training.loss_setup import check_loss
from dmlcli.learn.validation import synthetic_queries, training_data
from dmlcli.learn.validation.head_selection import FoldScores, initial_network
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.learn.validation.training_data import TrainingData
from dmlcli.model import Model, ModelRecord
from dmlcli.report.skipped import Skipped
from dmlcli.runs import Run
from dmlcli.workspace import Workspace


@dataclass(frozen=True)
class ValidationResult:
    """What held-out photos say of a model; scores are MAP@R in [0, 1], None where nothing could be held out."""

    summary: str = "none"
    frozen_score: float | None = None
    score: float | None = None
    searches: dict[str, dict[str, float]] = field(default_factory=dict)  # by name: of `frozen` and `chosen`
    product_recall: dict[str, dict[str, float]] = field(default_factory=dict)  # by search and metric, of `chosen`
    reason: str = ""  # why the frozen backbone is kept, where training did not help


@dataclass(frozen=True)
class TrainedModel:
    """A trained model in the workspace's `models/`, and what is known of it."""

    model: Model
    origin: str  # the candidate that is kept
    validation: ValidationResult = ValidationResult()
    skipped: tuple[Skipped, ...] = ()
    interrupted: bool = False  # by Ctrl-C: the best model until then
    embedded: tuple[Embeddings, ...] = ()  # its embeddings of photos whose features were cached
    current: CurrentScores = field(default_factory=CurrentScores)  # the current model in the folds of this one


@dataclass(frozen=True)
class _Selection:
    """The candidate that is kept, beside the frozen backbone scored in the same folds."""

    best: Candidate
    baseline: Candidate

    @property
    def keeps_baseline(self) -> bool:
        return not self.best.beats(self.baseline)

    @property
    def kept(self) -> Candidate:
        return self.baseline if self.keeps_baseline else self.best

    def reason(self, purpose: str) -> str:
        """Return why nothing that was trained is kept; "" where it is."""
        if self.best.origin == POOLED:
            return "training scored no better than the backbone's pooled features on held-out photos"
        return why_frozen(self.best, self.baseline, purpose) if self.keeps_baseline else ""


def train(
    catalog: Catalog,
    recipe: Recipe,
    run: Run,
    device: str = "auto",
    *,
    time_budget: TimeBudget | None = None,
    current: Model | None = None,
) -> TrainedModel:
    """Train on a catalog, and save the best model in the workspace of the run, in `models/`.

    Example:

        catalog, recipe, place = open_catalog(Path("photos")), Recipe(tune="head"), workspace.make()
        with runs.start(place.runs, to_toml(recipe), "photos", place.model) as run:
            trained = train(catalog, recipe, run)

    Args:
        catalog: the photos.
        recipe: all settings.
        run: keeps the log and what `--resume` needs; entered by `with`.
        device: `auto`, `cpu`, `cuda` or `mps`.
        time_budget: when training should end; None: at its last epoch.
        current: a model to compare with: where it was validated on other photos, it is scored in the same folds.

    Returns:
        The model. It is not the current one yet: see `model_switch.switch`.

    Raises:
        TrainingError: training diverges.
        UsageError: settings do not go together.
        CatalogError: fewer than two products can be fitted on.
    """
    check_loss(recipe)
    chosen, time_budget = pick_device(device), time_budget or TimeBudget()
    worker.check_shareable(recipe, chosen)
    distributed.take_all_cores()
    if recipe.tune == "none":
        return _untrained(catalog, recipe, run)
    data = load_data(catalog, recipe, run.workspace, chosen, time_budget)
    states = zip(data.plain.items, data.plain.states, strict=True)
    run.check_images({item.path: [item.product, item.category, item.split, state.digest] for item, state in states})
    progress.stage("folds")
    plan = make_plan(data, recipe, FoldScores(run.folds))
    _show_plan(data, plan, recipe)
    progress.stage("head")
    _log_lda(plan, run)
    network = initial_network(data, plan.folds[0], plan.head_params, plan.head_spec)
    training = GradientTraining(network, plan, recipe, chosen, Checkpoint(run.checkpoint), time_budget)
    if training.is_resumed:
        _note_if_better(training.best, lda_candidate(plan, first=True))
    interrupted = False
    try:
        with distributed.process_group():  # until here the other processes, if there are any, have waited
            for scored in training.epochs():
                run.log(scored.metrics() | {"best": scored.candidate is training.best})
            fitted = _final_fit(data, plan, training, run, time_budget)
    except KeyboardInterrupt:
        interrupted = True
        progress.note("interrupted: saving the best model so far")
        fitted = _final_fit(data, plan, training, run, time_budget, again=False)
    return _save(data, plan, fitted, recipe, run, chosen, current, interrupted=interrupted)


def load_data(
    catalog: Catalog, recipe: Recipe, workspace: Workspace, device: torch.device, time_budget: TimeBudget
) -> TrainingData:
    """Return the features of all photos that training may use, with the split of their rows.

    Args:
        catalog: the photos.
        recipe: the backbone and the views.
        workspace: keeps the features.
        device: on which the features are computed.
        time_budget: may leave time for fewer views than the recipe names.

    Raises:
        CatalogError: fewer than two products can be fitted on.
    """
    backbone = frozen.open_backbone(recipe, workspace.frozen, catalog)
    progress.stage("features", len(augmentation.view_names(recipe.views, recipe.seed, recipe.augment)))
    readable = training_data.read_photos(catalog, backbone, workspace, device)
    split = split_for_training(readable.photos)
    synthetic = synthetic_queries.is_needed(readable.photos, split, recipe)
    return training_data.gather(
        readable,
        split,
        backbone,
        recipe,
        workspace,
        device=device,
        time_budget=time_budget,
        synthetic_queries=synthetic,
    )


def _untrained(catalog: Catalog, recipe: Recipe, run: Run) -> TrainedModel:
    progress.stage("export")
    weights = frozen.weights_of(recipe)
    network = frozen.build_search_network(weights, recipe.seed, recipe.pooling)
    saved = frozen.save(run.workspace.models / run.record.id, network, weights, catalog, known=run.output)
    return TrainedModel(saved, POOLED if network.pooling else FROZEN)


def _show_plan(data: TrainingData, plan: ValidationPlan, recipe: Recipe) -> None:
    for unusual in class_balance.describe(data.photos.items, recipe.images_per_product):
        progress.note(unusual)
    train = plan.folds[0].train
    progress.note(f"fitting on {len(train.labels)} images of {train.products} products; validation: {plan.summary}")


def _log_lda(plan: ValidationPlan, run: Run) -> None:
    lda, frozen_backbone = lda_candidate(plan), frozen_candidate(plan)
    _note_if_better(lda, frozen_backbone)
    run.log(lda.metrics() | {"best": lda.beats(frozen_backbone)})


def _final_fit(
    data: TrainingData,
    plan: ValidationPlan,
    training: GradientTraining,
    run: Run,
    time_budget: TimeBudget,
    *,
    again: bool = True,
) -> tuple[_Selection, Network]:
    """Select the best of the epochs, the LDA head and the frozen backbone, and fit it on all photos.

    Args:
        data: all photos.
        plan: the folds and their scores.
        training: the epochs, which are done or interrupted.
        run: keeps the state of the final fit.
        time_budget: when it should end.
        again: False after an interruption.
    """
    selection = _Selection(*select(plan, training.best))
    best = selection.best
    seconds, passes = (refit.seconds_again(plan, best), best.epochs) if again else (0.0, 0)
    progress.expect("final fit", progress.stage_seconds()["folds"] + seconds)
    progress.stage("final fit", passes if best.stage in ("top", "all") and passes else 1)
    if selection.keeps_baseline:
        return selection, data.backbone.published
    checkpoint = Checkpoint(run.checkpoint)
    network = refit.finish(
        data,
        plan,
        best,
        training.recipe,
        training.device,
        again=again,
        checkpoint=checkpoint,
        time_budget=time_budget,
    )
    return selection, network


def _save(
    data: TrainingData,
    plan: ValidationPlan,
    fitted: tuple[_Selection, Network],
    recipe: Recipe,
    run: Run,
    device: torch.device,
    current: Model | None,
    *,
    interrupted: bool,
) -> TrainedModel:
    """Save the final network as a model, with what the folds say of it."""
    (selection, network), backbone = fitted, data.backbone
    best = selection.kept
    threshold = None if selection.keeps_baseline else refit.unknown_product_threshold(plan, best)
    of_answers = fit_answers(data, plan, best)
    current_scores = CurrentScores()
    if current is not None and of_answers.held_out and not _are_shared(of_answers.held_out, current):
        current_scores = score_current(current, data, plan, best)
    validation = ValidationResult(
        summary=plan.summary,
        frozen_score=selection.baseline.score,
        score=best.score,
        searches={
            name: {"frozen": selection.baseline.scores[name], "chosen": score} for name, score in best.scores.items()
        },
        product_recall=of_answers.product_recall,
        reason=selection.reason(recipe.purpose),
    )
    record = _record(data, recipe, validation, best.origin, threshold, of_answers)
    same_backbone = not selection.keeps_baseline and (best.stage == "head" or not best.epochs)
    progress.stage("export")
    samples, draft = frozen.samples(data.photos, backbone.weights), run.workspace.models / run.record.id
    model = onnx_export.save(draft, network, record, samples, backbone.model.graph if same_backbone else None)
    held_out_scores.write(model.folder, of_answers.held_out)
    if best.origin not in (FROZEN, POOLED):
        states, items = data.plain.states, data.photos.items
        fitted_photos.write(model.folder, ((states[row].digest, items[row].product) for row in data.split.fit))
    # The index is built on the CPU. Features of another device differ from its own in the last digits.
    embedded = [data.embedded(network.head, model.record.fingerprint)] if same_backbone and device.type == "cpu" else []
    return TrainedModel(
        model=model,
        origin=best.origin,
        validation=validation,
        skipped=tuple(data.skipped),
        interrupted=interrupted,
        embedded=tuple(embedded),
        current=current_scores,
    )


def _are_shared(held_out: Sequence[HeldOutSearch], current: Model) -> bool:
    """Return whether the current model was validated by some of the same searches."""
    return bool(held_out_scores.compare(held_out, held_out_scores.read(current.folder))[2])


def _record(
    data: TrainingData,
    recipe: Recipe,
    validation: ValidationResult,
    origin: str,
    open_set: dict[str, float] | None,
    of_answers: FoldResults,
) -> ModelRecord:
    """Return what model.json holds of a training."""
    items = data.photos.items
    products = sorted({items[row].product for row in data.split.fit})
    return replace(
        frozen.record(data.backbone.weights),
        recipe=asdict(recipe),
        products=products,
        held_out=sorted({item.product for item in items} - {*products, ""}),
        scores={
            "validation": validation.summary,
            "map@r": validation.score,
            "frozen map@r": validation.frozen_score,
            "searches": validation.searches,
            "chosen": origin,
            "open_set": open_set,
            "product_recall": of_answers.product_recall,
            "answers": asdict(of_answers.answers) if of_answers.answers else None,
        },
    )


def why_frozen(best: Candidate, baseline: Candidate, purpose: str) -> str:
    """Return why the frozen backbone is kept: the scores of the best of training, and what `--for` would change.

    Args:
        best: the best candidate of training.
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
    reason = f"training made the search worse {worse}"
    better = [name for name in scores if name not in best.behind]
    if purpose == "both" and better:
        reason += f"; if you search for {better[0]} products only ({scores[better[0]]}), use --for {better[0]}"
    return reason


def _note_if_better(candidate: Candidate, other: Candidate) -> None:
    """Print the scores of a candidate that is better; those of epochs are shown as they come."""
    if candidate.scores and candidate.beats(other):
        scores = ", ".join(f"{name} products {100 * score:.1f} %" for name, score in candidate.scores.items())
        progress.note(f"{candidate.origin}  MAP@R: {scores}")
