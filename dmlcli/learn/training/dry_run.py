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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.embeddings import Embeddings, Forward, compute, open_embeddings
from dmlcli.errors import EmbeddingsError, ModelError
from dmlcli.learn.data import augmentation
from dmlcli.learn.data.activation_cache import ActivationCache
from dmlcli.learn.networks import frozen
from dmlcli.learn.networks.lda import CONSERVATIVE
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import Weights
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import stage_selection
from dmlcli.learn.training.loop import fit
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.folds import ValidationSplit, describe, validation_splits
from dmlcli.learn.validation.head_selection import Choice, choose, initial_network
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.learn.validation.training_data import TrainingData, feature_extractor_of
from dmlcli.model import Model, open_model
from dmlcli.workspace import Workspace

_PHOTOS = 96  # that are read to tell how long one takes
_TENSORS = 3  # copies of the features that are alive at a time: of all, of a fold, centerd


@dataclass
class Estimate:
    """Seconds of each part of a run, and the most memory it holds, in bytes."""

    summary: str = "none"  # of the validation
    next_stage: str = ""  # what `--tune auto` does after the head, and why
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0


def estimate(
    photos: Catalog,
    recipe: Recipe,
    workspace: Workspace | None,
    device: torch.device,
    split: Callable[[Catalog, int], TrainingSplit],
    time_budget: TimeBudget,
) -> Estimate:
    """Try out the parts of a run; `workspace` is where features may be cached already, `time_budget` has the budget."""
    found = Estimate()
    count = len(photos.items)
    start, feature_extractor = feature_extractor_of(recipe)
    with _saved(workspace, feature_extractor, start, photos) as (model, export, is_there):
        forward = frozen.forward(model, feature_extractor, device)
        each = _seconds_an_image(photos, recipe, model, forward)
    rows = split(photos, recipe.seed) if recipe.tune != "none" else None
    uses_synthetic_queries = rows is not None and synthetic_queries.is_needed(photos, rows, recipe)
    names = augmentation.view_names(recipe.views, recipe.seed, recipe.augment)
    names += augmentation.family_names(recipe.seed) if uses_synthetic_queries else []
    missing = sum(count - _cached(workspace, model, name) for name in names)
    found.parts["export"] = export * (1 if is_there else 2)  # of the frozen backbone, and of the final model
    found.parts["features"] = missing * each
    if recipe.tune == "none":
        found.parts["features"], found.parts["export"] = 0.0, export
        found.parts["embedding"] = count * each
        found.memory = _peak()
        return found

    data = _imagined(photos, recipe, start, feature_extractor, model, names, split)
    made = validation_splits(photos.items, data.split, recipe.purpose, recipe.seed)
    found.summary = synthetic_queries.SUMMARY if uses_synthetic_queries else describe(made, photos.items)
    began = time.monotonic()
    plan = make_plan(data, recipe) if len(made) < 2 else _first_of(data, recipe, made)
    seconds = time.monotonic() - began
    found.parts["folds"] = seconds * max(1, len(made))
    found.parts["final_fit"] = seconds / 3
    fold, at = plan.folds[0], stage_selection.first(recipe, plan.lda_only)
    network = initial_network(data, fold, plan.head_params, recipe)
    while at != "none":
        for part, spent in _gradient(network, plan, stage_selection.for_stage(recipe, at), device, each).items():
            found.parts[part] = found.parts.get(part, 0.0) + spent
        backbone_stays = at == "head"
        choice = stage_selection.next_stage(at, network, fold, plan.head_params, recipe, device, time_budget)
        found.next_stage = choice.why and f"{choice.stage}: {choice.why}"
        at = choice.stage
    found.parts["embedding"] = 0.0 if backbone_stays else count * each
    found.parts["index"] = 1.0 + count / 20_000
    found.memory = _peak() + _TENSORS * data.views.nbytes
    return found


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


def _imagined(
    photos: Catalog,
    recipe: Recipe,
    start: Weights,
    feature_extractor: Network,
    model: Model,
    names: Sequence[str],
    split: Callable[[Catalog, int], TrainingSplit],
) -> TrainingData:
    """Training data as the run would have it, but random numbers in place of features."""
    rng = torch.Generator().manual_seed(recipe.seed)
    numbers = torch.randn(len(names), len(photos.items), model.record.dim, generator=rng)
    feature_extractor.mirror = "flip" in names
    pretrained = frozen.build(start, recipe.seed)
    unknown = Embeddings(photos.root, photos.items, [], numbers[0].numpy(), "")
    files = [photos.photo(item) for item in photos.items]
    maps = ActivationCache(files, [], names, model, Path(), feature_extractor.mirror)
    rows, views = split(photos, recipe.seed), F.normalize(numbers, dim=-1)
    uses_synthetic_queries = names[-1] in augmentation.family_names(recipe.seed)
    return TrainingData(
        start,
        pretrained,
        feature_extractor,
        model,
        photos,
        rows,
        views,
        unknown,
        [],
        maps,
        names,
        uses_synthetic_queries,
    )


def _first_of(data: TrainingData, recipe: Recipe, made: list[ValidationSplit]) -> ValidationPlan:
    """The plan after the first of several folds: the others take as long."""
    fold = data.fold(made[0].fit, made[0].searches)
    choice = Choice(CONSERVATIVE, [], []) if recipe.head == "identity" else choose([fold], recipe)
    frozen = [fold.validation.scores(fold.baseline.numpy())]
    return ValidationPlan([fold], "", choice.head_params, frozen, choice.scores, choice.open_set)


def _gradient(
    network: Network, plan: ValidationPlan, recipe: Recipe, device: torch.device, each: float
) -> dict[str, float]:
    """Seconds of what is done at one stage; `each`: of one photo on its way through the backbone."""
    fold = plan.folds[0]
    if recipe.tune == "head":
        if not fold.validation:
            return {}
        once = replace(recipe, epochs=1, warmup=0)
        stage = stage_selection.make_stage(copy.deepcopy(network), fold, plan.head_params, once, device)
        (epoch,) = fit(stage.embed, stage.trainer, stage.feed)
        began = time.monotonic()
        stage.evaluate()
        judging = time.monotonic() - began
        return {
            "epochs": recipe.epochs * (epoch.seconds + judging),
            "final_fit": recipe.epochs * epoch.seconds / 2,
        }
    assert fold.maps is not None
    step = stage_selection.seconds_an_image(network, fold, plan.head_params, recipe, device)
    pass_ = step * len(fold.labels)
    if recipe.tune == "all":
        look = stage_selection.evaluation_seconds(network, fold, device)
        return {"epochs": recipe.epochs * (pass_ + look), "final_fit": look}
    photos = len(fold.maps.files)
    judging = step / 3 * (len(fold.labels) + len(fold.validation.rows)) * (1 + network.mirror)  # no way back
    return {
        "maps": len(fold.maps.views) * photos * each,
        "epochs": recipe.epochs * (pass_ + judging),
        "final_fit": recipe.epochs * step * photos / 2,
    }


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else math.ceil(peak * 1024)
