"""How long a training run would take and how much memory, found by doing a little of everything it consists of.

Nothing is guessed that can be tried: the graph is exported (into a folder that goes away), some photos are read, the
folds are held with random numbers in place of features, a few batches are trained on. All of it is as busy with
the machine as the run would be.
"""

import copy
import math
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit, split_for_training
from dmlcli.embeddings import Embeddings, Forward, compute, open_embeddings
from dmlcli.errors import EmbeddingsError, ModelError
from dmlcli.learn.data import augmentation, class_balance
from dmlcli.learn.data.activation_cache import ActivationCache
from dmlcli.learn.networks import frozen
from dmlcli.learn.networks.frozen import FrozenBackbone
from dmlcli.learn.networks.heads import HeadSpec
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.networks.lda import CONSERVATIVE
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import Weights, resolve
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget, is_costly
from dmlcli.learn.training import stage_selection
from dmlcli.learn.training.loss_setup import check_loss
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.folds import ValidationSplit, describe, validation_splits
from dmlcli.learn.validation.head_selection import HeadChoice, choose, initial_network
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.learn.validation.training_data import TrainingData
from dmlcli.model import Model, open_model
from dmlcli.report.train_plan import PlanReport
from dmlcli.workspace import Workspace

_PHOTOS = 96  # that are read to tell how long one takes
_TENSORS = 3  # copies of the features that are alive at a time: of all, of a fold, centered


@dataclass
class Estimate:
    """Seconds of each part of a run, and the most memory it holds, in bytes."""

    summary: str = "none"  # of the validation
    next_stage: str = ""  # what `--tune auto` does after the head, and why
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    def add(self, seconds: Mapping[str, float]) -> None:
        """Add seconds to the parts."""
        for part, spent in seconds.items():
            self.parts[part] = self.parts.get(part, 0.0) + spent


def plan_run(
    photos: Catalog, recipe: Recipe, workspace: Workspace | None, device: str, time_budget: TimeBudget
) -> PlanReport:
    """Return what a run would do, how long it would take, and how much memory.

    Args:
        photos: the catalog.
        recipe: all settings.
        workspace: has features that need not be computed; None: no workspace exists yet.
        device: as for `train`.
        time_budget: as for `train`.

    Raises:
        UsageError: settings do not go together.
        CatalogError: the catalog cannot be trained on.
    """
    check_loss(recipe)
    found = estimate(photos, recipe, workspace, pick_device(device), time_budget)
    return PlanReport(
        images=len(photos.items),
        products=len({item.product for item in photos.items} - {""}),
        recipe=asdict(recipe),
        unusual=tuple(class_balance.describe(photos.items, recipe.images_per_product)),
        validation=found.summary,
        next_stage=found.next_stage,
        parts=found.parts,
        seconds=sum(found.parts.values()),
        memory=found.memory,
        caution=resolve(recipe.backbone, recipe.weights).caution,
        skipped=tuple(photos.skipped),
    )


def estimate(
    photos: Catalog, recipe: Recipe, workspace: Workspace | None, device: torch.device, time_budget: TimeBudget
) -> Estimate:
    """Estimate the time and the memory of a run by doing a little of each part.

    Args:
        photos: the catalog.
        recipe: all settings.
        workspace: has features that need not be computed; None: no workspace exists yet.
        device: on which it trains.
        time_budget: when training should end.
    """
    found, count = Estimate(), len(photos.items)
    weights, feature_extractor = frozen.build_feature_extractor(recipe)
    with _saved(workspace, feature_extractor, weights, photos) as (model, export, is_there):
        forward = frozen.forward(model, feature_extractor, device)
        each = _seconds_an_image(photos, recipe, model, forward)
    if recipe.tune == "none":
        found.parts = {"export": export, "features": 0.0, "embedding": count * each}
        found.memory = _peak()
        return found

    split = split_for_training(photos)
    names = augmentation.view_names(recipe.views, recipe.seed, recipe.augment)
    if synthetic_queries.is_needed(photos, split, recipe):
        names += augmentation.family_names(recipe.seed)
    missing = sum(count - _cached(workspace, model, name) for name in names)
    found.add({"export": export * (1 if is_there else 2)})  # of the frozen backbone, and of the final model
    found.add({"features": missing * each})
    backbone = FrozenBackbone(weights, frozen.build(weights, recipe.seed), feature_extractor, model)
    data = _with_random_features(photos, split, recipe, backbone, names)
    plan = _timed_plan(data, recipe, found)
    fold, at = plan.folds[0], stage_selection.first(recipe, plan.lda_only)
    network = initial_network(data, fold, plan.head_params, plan.head_spec)
    backbone_stays, possible = True, recipe.epochs
    while at != "none":
        of_stage = stage_selection.for_stage(recipe, at)
        of_stage = replace(of_stage, epochs=min(of_stage.epochs, possible))
        found.add(_gradient(network, plan, of_stage, device, each, limited=time_budget.is_limited))
        backbone_stays = at == "head"
        choice = stage_selection.next_stage(at, network, plan, recipe, device, time_budget)
        found.next_stage = choice.why and f"{choice.stage}: {choice.why}"
        at, possible = choice.stage, choice.epochs or possible
    found.add({"embedding": 0.0 if backbone_stays else count * each, "index": 1.0 + count / 20_000})
    found.memory = _peak() + _TENSORS * data.views.nbytes
    return found


def _timed_plan(data: TrainingData, recipe: Recipe, found: Estimate) -> ValidationPlan:
    """Cross-validate one fold, and add the seconds that all folds take."""
    splits = validation_splits(data.photos.items, data.split, recipe.purpose, recipe.seed)
    found.summary = synthetic_queries.SUMMARY if data.uses_synthetic_queries else describe(splits, data.photos.items)
    started = time.monotonic()
    plan = make_plan(data, recipe) if len(splits) < 2 else _first_of(data, recipe, splits)
    seconds = time.monotonic() - started
    found.add({"folds": seconds * max(1, len(splits)), "final_fit": seconds / 3})
    return plan


@contextmanager
def _saved(
    workspace: Workspace | None, feature_extractor: Network, start: Weights, photos: Catalog
) -> Iterator[tuple[Model, float, bool]]:
    """The frozen backbone as a model, the seconds that its export takes, and whether the workspace has it."""
    try:
        model = open_model(workspace.frozen) if workspace else None
        known = model is not None and model.record.fingerprint == frozen.fingerprint(feature_extractor, start)
    except ModelError:
        known = False
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        made = frozen.save(Path(folder) / "frozen", feature_extractor, start, photos)
        yield made, time.monotonic() - began, known


def _seconds_an_image(photos: Catalog, recipe: Recipe, model: Model, forward: Forward) -> float:
    view = augmentation.fixed_view(model.record.image, "plain")
    some = photos.items[:: max(1, len(photos.items) // _PHOTOS)][:_PHOTOS]
    compute(Catalog(photos.root, some[:8]), view, forward, "")
    began = time.monotonic()
    compute(Catalog(photos.root, some), view, forward, "")
    return (time.monotonic() - began) / len(some)


def _cached(workspace: Workspace | None, model: Model, view: str) -> int:
    try:
        return len(open_embeddings(workspace.features(model.record.fingerprint, view)).items) if workspace else 0
    except EmbeddingsError:
        return 0


def _with_random_features(
    photos: Catalog, split: TrainingSplit, recipe: Recipe, backbone: FrozenBackbone, names: Sequence[str]
) -> TrainingData:
    """Return training data like those of the run, with random numbers in place of features."""
    rng = torch.Generator().manual_seed(recipe.seed)
    numbers = torch.randn(len(names), len(photos.items), backbone.model.record.dim, generator=rng)
    plain = Embeddings(photos.root, photos.items, [], numbers[0].numpy(), "")
    files = [photos.photo(item) for item in photos.items]
    maps = ActivationCache(files, [], names, backbone.model, Path(), "flip" in names)
    return TrainingData(backbone, photos, split, names, F.normalize(numbers, dim=-1), plain, [], maps)


def _first_of(data: TrainingData, recipe: Recipe, made: list[ValidationSplit]) -> ValidationPlan:
    """Return the plan after the first of several folds: the others take as long."""
    fold = data.fold(made[0].fit, made[0].searches)
    spec = HeadSpec(recipe.head, recipe.dim)
    baseline = [fold.validation.searches.scores(fold.validation.baseline.numpy())]
    choice = HeadChoice(CONSERVATIVE, [], []) if spec.kind == "identity" else choose([fold], spec, baseline)
    scores, images = choice.scores, len(data.split.fit)
    return ValidationPlan([fold], "", spec, choice.head_params, baseline, scores, baseline, choice.open_set, images)


def _gradient(
    network: Network, plan: ValidationPlan, recipe: Recipe, device: torch.device, each: float, *, limited: bool
) -> dict[str, float]:
    """Return seconds of what is done at one stage.

    Args:
        network: with the LDA head of the first fold.
        plan: the folds.
        recipe: of the stage.
        device: on which it trains.
        each: seconds of one photo on its way through the backbone.
        limited: whether there is a time budget.
    """
    fold = plan.folds[0]
    if recipe.tune == "head":
        if not fold.validation:
            return {}
        once = replace(recipe, epochs=1, warmup=0)
        stage = stage_selection.make_stage(copy.deepcopy(network), fold, plan.head_params, once, device)
        (epoch,) = stage.fit()
        began = time.monotonic()
        stage.evaluate()
        evaluation = time.monotonic() - began
        return {
            "epochs": recipe.epochs * (epoch.seconds + evaluation),
            "final_fit": recipe.epochs * epoch.seconds / 2,
        }
    step = stage_selection.seconds_an_image(network, fold, plan.head_params, recipe, device)
    pass_ = step * len(fold.train.labels)
    if recipe.tune == "all":
        look = stage_selection.seconds_a_photo(network, fold, device) * stage_selection.scored_images(fold)
        again = step * plan.images_again
        skips = limited and stage_selection.may_skip_scores(recipe) and is_costly(look, pass_)
        looks = 1 if skips else recipe.epochs
        return {"epochs": recipe.epochs * pass_ + looks * look, "final_fit": recipe.epochs * again + look}
    photos = len(fold.maps.files)
    scored = len(fold.train.labels) + len(fold.validation.searches.rows)
    evaluation = step / 3 * scored * (1 + network.mirror)  # a forward pass alone
    return {
        "maps": len(fold.maps.views) * photos * each,
        "epochs": recipe.epochs * (pass_ + evaluation),
        "final_fit": recipe.epochs * step * plan.images_again,
    }


def _peak() -> int:
    """Return the most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else math.ceil(peak * 1024)
