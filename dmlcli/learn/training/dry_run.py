"""How long a training run would take and how much memory, found by doing a little of everything it consists of.

Nothing is guessed that can be tried: the graph is exported (into a folder that goes away), some photos are read, the
rehearsals are held with random numbers in place of features, a few batches are trained on. All of it is as busy with
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
from dmlcli.learn.data.activation_cache import Maps
from dmlcli.learn.networks import frozen
from dmlcli.learn.networks.lda import CAREFUL
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import Weights
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import Clock
from dmlcli.learn.training import stage_selection
from dmlcli.learn.training.loop import fit
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.folds import Rehearsal, describe, rehearsals
from dmlcli.learn.validation.head_selection import Choice, choose, initial_network
from dmlcli.learn.validation.plan import Plan, make_plan
from dmlcli.learn.validation.training_data import Material, trunk_of
from dmlcli.model import Model, open_model
from dmlcli.workspace import Workspace

_PHOTOS = 96  # that are read to tell how long one takes
_TENSORS = 3  # copies of the features that are alive at a time: of all, of a lesson, centred


@dataclass
class Estimate:
    """Seconds of each part of a run, and the most memory it holds, in bytes."""

    how: str = "none"
    deeper: str = ""  # what `--tune auto` does after the head, and why
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0


def estimate(
    photos: Catalog,
    recipe: Recipe,
    place: Workspace | None,
    hardware: torch.device,
    split: Callable[[Catalog, int], TrainingSplit],
    clock: Clock,
) -> Estimate:
    """Try out the parts of a run; `place` is where features may be cached already, `clock` has the budget."""
    found = Estimate()
    count = len(photos.items)
    start, trunk = trunk_of(recipe)
    with _saved(place, trunk, start, photos) as (model, export, is_there):
        forward = frozen.forward(model, trunk, hardware)
        each = _seconds_an_image(photos, recipe, model, forward)
    rows = split(photos, recipe.seed) if recipe.tune != "none" else None
    imitates = rows is not None and synthetic_queries.is_needed(photos, rows, recipe)
    names = augmentation.view_names(recipe.views, recipe.seed, recipe.augment)
    names += augmentation.family_names(recipe.seed) if imitates else []
    missing = sum(count - _cached(place, model, name) for name in names)
    found.parts["export"] = export * (1 if is_there else 2)  # of the frozen backbone, and of the model that ships
    found.parts["features"] = missing * each
    if recipe.tune == "none":
        found.parts["features"], found.parts["export"] = 0.0, export
        found.parts["embedding"] = count * each
        found.memory = _peak()
        return found

    matter = _imagined(photos, recipe, start, trunk, model, names, split)
    made = rehearsals(photos.items, matter.split, recipe.purpose, recipe.seed)
    found.how = synthetic_queries.HOW if imitates else describe(made, photos.items)
    began = time.monotonic()
    planned = make_plan(matter, recipe) if len(made) < 2 else _first_of(matter, recipe, made)
    rehearsal = time.monotonic() - began
    found.parts["rehearsals"] = rehearsal * max(1, len(made))
    found.parts["the last fit"] = rehearsal / 3
    lesson, at = planned.lessons[0], stage_selection.first(recipe, planned.only_closed)
    network = initial_network(matter, lesson, planned.setting, recipe)
    while at != "none":
        for part, spent in _gradient(network, planned, stage_selection.at_depth(recipe, at), hardware, each).items():
            found.parts[part] = found.parts.get(part, 0.0) + spent
        backbone_stays = at == "head"
        choice = stage_selection.deeper(at, network, lesson, planned.setting, recipe, hardware, clock)
        found.deeper = choice.why and f"{choice.depth}: {choice.why}"
        at = choice.depth
    found.parts["embedding"] = 0.0 if backbone_stays else count * each
    found.parts["index"] = 1.0 + count / 20_000
    found.memory = _peak() + _TENSORS * matter.views.nbytes
    return found


@contextmanager
def _saved(
    place: Workspace | None, trunk: Network, start: Weights, photos: Catalog
) -> Iterator[tuple[Model, float, bool]]:
    """The frozen backbone as a model, the seconds that its export takes, and whether the workspace has it."""
    try:
        model = open_model(place.frozen) if place else None
        known = model is not None and model.record.fingerprint == frozen.fingerprint(trunk, start)
    except ModelError:
        known = False
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        made = frozen.save(Path(folder) / "frozen", trunk, start, photos)
        yield made, time.monotonic() - began, known


def _seconds_an_image(photos: Catalog, recipe: Recipe, model: Model, forward: Forward) -> float:
    view = augmentation.fixed_view(model.record.image, "plain")
    some = photos.items[:: max(1, len(photos.items) // _PHOTOS)][:_PHOTOS]
    compute(Catalog(photos.root, some[:8]), view, forward, "")
    began = time.monotonic()
    compute(Catalog(photos.root, some), view, forward, "")
    return (time.monotonic() - began) / len(some)


def _cached(place: Workspace | None, model: Model, view: str) -> int:
    try:
        return len(open_embeddings(place.features(model.record.fingerprint, view)).items) if place else 0
    except EmbeddingsError:
        return 0


def _imagined(
    photos: Catalog,
    recipe: Recipe,
    start: Weights,
    trunk: Network,
    model: Model,
    names: Sequence[str],
    split: Callable[[Catalog, int], TrainingSplit],
) -> Material:
    """Material as the run would have it, but for random numbers in place of features."""
    chance = torch.Generator().manual_seed(recipe.seed)
    numbers = torch.randn(len(names), len(photos.items), model.record.dim, generator=chance)
    trunk.mirror = "flip" in names
    pretrained = frozen.build(start, recipe.seed)
    unknown = Embeddings(photos.root, photos.items, [], numbers[0].numpy(), "")
    files = [photos.photo(item) for item in photos.items]
    maps = Maps(files, [], names, model, Path(), trunk.mirror)
    rows, views = split(photos, recipe.seed), F.normalize(numbers, dim=-1)
    imitates = names[-1] in augmentation.family_names(recipe.seed)
    return Material(start, pretrained, trunk, model, photos, rows, views, unknown, [], maps, names, imitates)


def _first_of(matter: Material, recipe: Recipe, made: list[Rehearsal]) -> Plan:
    """The plan after the first of several rehearsals: the others take as long."""
    lesson = matter.lesson(made[0].fit, made[0].searches)
    choice = Choice(CAREFUL, [], []) if recipe.head == "identity" else choose([lesson], recipe)
    frozen = [lesson.validation.scores(lesson.baseline.numpy())]
    return Plan([lesson], "", choice.setting, frozen, choice.scores, choice.strangers)


def _gradient(network: Network, planned: Plan, recipe: Recipe, hardware: torch.device, each: float) -> dict[str, float]:
    """Seconds of what is done at one depth; `each`: of one photo on its way through the backbone."""
    lesson = planned.lessons[0]
    if recipe.tune == "head":
        if not lesson.validation:
            return {}
        once = replace(recipe, epochs=1, warmup=0)
        course = stage_selection.course_of(copy.deepcopy(network), lesson, planned.setting, once, hardware)
        (epoch,) = fit(course.embed, course.learner, course.feed)
        began = time.monotonic()
        course.judge()
        judging = time.monotonic() - began
        return {
            "epochs": recipe.epochs * (epoch.seconds + judging),
            "the last fit": recipe.epochs * epoch.seconds / 2,
        }
    assert lesson.maps is not None
    step = stage_selection.seconds_an_image(network, lesson, planned.setting, recipe, hardware)
    pass_ = step * len(lesson.labels)
    if recipe.tune == "all":
        look = stage_selection.look_of(network, lesson, hardware)
        return {"epochs": recipe.epochs * (pass_ + look), "the last fit": look}
    photos = len(lesson.maps.files)
    judging = step / 3 * (len(lesson.labels) + len(lesson.validation.rows)) * (1 + network.mirror)  # no way back
    return {
        "maps": len(lesson.maps.views) * photos * each,
        "epochs": recipe.epochs * (pass_ + judging),
        "the last fit": recipe.epochs * step * photos / 2,
    }


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else math.ceil(peak * 1024)
