"""One training run: features, folds, closed form, gradient training, and the best of them fitted on all photos."""

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
from dmlcli.learn.time_budget import Clock
from dmlcli.learn.training import distributed, epochs, refit, stages
from dmlcli.learn.training.candidate import Trial, closed_trial, frozen_trial
from dmlcli.learn.training.checkpoint import Checkpoint
from dmlcli.learn.validation import synthetic_queries, training_data
from dmlcli.learn.validation.folds import fitted_in_the_end
from dmlcli.learn.validation.head_selection import Folds, initial_network
from dmlcli.learn.validation.plan import make_plan
from dmlcli.model import Model
from dmlcli.report.skipped import Skipped
from dmlcli.runs import Run
from dmlcli.workspace import Workspace


@dataclass(frozen=True)
class Outcome:
    """What training made; scores are MAP@R in validation."""

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


def run(
    photos: Catalog,
    recipe: Recipe,
    place: Workspace,
    current: Path,
    going: Run,
    *,
    device: str = "auto",
    clock: Clock | None = None,
    told: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> Outcome:
    """Train on a catalog, and save the best model in the workspace's `models/`, under the id of the run.

    Args:
        photos: the catalog.
        recipe: all settings.
        place: where features and maps are cached.
        current: the model that will be replaced, if there is one.
        going: the run that keeps checkpoint and folds.
        device: as `--device`.
        clock: says when it is time to come to an end; None: never.
        told: is given the facts of each trial.

    Raises:
        TrainingError: where training diverges.
        UsageError: for settings that do not go together.
    """
    stages.build_loss(recipe, 2, 2)  # what cannot go together is answered before the work starts
    hardware, clock, draft = pick_device(device), clock or Clock(), place.models / going.record.id
    distributed.check_shareable(recipe, hardware)
    distributed.take_all_cores()
    if recipe.tune == "none":
        weights = training_data.start_of(recipe)
        untrained = frozen.build(weights, recipe.seed, recipe.pooling)
        return Outcome(frozen.save(draft, untrained, weights, photos, known=current), "frozen backbone")

    matter = training_data.gather(
        photos, recipe, place, hardware, split_for_training, clock, synthetic_queries.is_needed
    )
    states = zip(matter.plain.items, matter.plain.states, strict=True)
    going.check_images({item.path: [item.product, item.category, item.split, state.digest] for item, state in states})
    planned = make_plan(matter, recipe, Folds(going.folds))
    lesson = planned.lessons[0]
    for unusual in class_balance.describe(matter.photos.items, recipe):
        progress.note(unusual)
    progress.note(f"fitting on {len(lesson.labels)} images of {lesson.products} products; validation: {planned.how}")
    baseline, best = frozen_trial(planned), closed_trial(planned)
    _tell(best, baseline)
    told(best.facts() | {"best": best.beats(baseline)})
    network = initial_network(matter, lesson, planned.setting, recipe)
    interrupted, first = False, closed_trial(planned, first=True)
    try:
        with distributed.joined():  # until here the other processes, if there are any, have waited
            for trial in epochs.trials(network, planned, recipe, hardware, Checkpoint(going.checkpoint), clock):
                _tell(trial, first)
                told(trial.facts() | {"best": trial.beats(first)})
                first = trial if trial.beats(first) else first
    except KeyboardInterrupt:
        interrupted = True
        progress.note("interrupted: saving the best model so far")

    if first.trained:
        best, baseline = first, frozen_trial(planned, first=True)
    closest, reason = None, ""
    if not best.beats(baseline):
        reason = why_frozen(best, baseline, recipe.purpose)
        best, network = baseline, matter.pretrained
    else:
        closest = refit.closeness(planned, best, recipe)
        network = refit.finish(matter, planned, best, recipe, hardware, again=not interrupted)
    items = matter.photos.items
    products = sorted({items[row].product for row in fitted_in_the_end(items, matter.split)})
    searches = {name: {"frozen": baseline.scores[name], "chosen": score} for name, score in best.scores.items()}
    record = replace(
        frozen.record(matter.start),
        recipe=vars(recipe),
        products=products,
        held_out=sorted({item.product for item in items} - {*products, ""}),
        scores={
            "validation": planned.how,
            "map@r": best.score,
            "frozen map@r": baseline.score,
            "searches": searches,
            "chosen": best.origin,
            "strangers": closest,
        },
    )
    same_backbone = (best.depth == "head" or not best.trained) and network is not matter.pretrained
    samples = frozen.samples(matter.photos, matter.start)
    model = onnx_export.save(draft, network, record, samples, matter.model.graph if same_backbone else None)
    reusable = hardware.type == "cpu" and same_backbone
    return Outcome(
        model=model,
        origin=best.origin,
        validation=planned.how,
        frozen_score=baseline.score,
        score=best.score,
        searches=searches,
        skipped=tuple(matter.skipped),
        interrupted=interrupted,
        embedded=(matter.embedded(network.head, model.record.fingerprint),) if reusable else (),
        reason=reason,
    )


def why_frozen(best: Trial, baseline: Trial, purpose: str) -> str:
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


def _tell(trial: Trial, best: Trial) -> None:
    """One line for a closed form that is better; epochs are shown as they come."""
    if trial.epoch is None and trial.scores and trial.beats(best):
        said = ", ".join(f"{name} products {100 * score:.1f} %" for name, score in trial.scores.items())
        progress.note(f"{trial.origin}  MAP@R: {said}")
