"""How long a training run would take and how much memory, found by doing a little of everything it consists of.

Nothing is guessed that can be tried: the graph is exported (into a folder that goes away), some photos are read, the
rehearsals are held with random numbers in place of features, a few batches are trained on. All of it is as busy with
the machine as the run would be.
"""

import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.embeddings import Embeddings, Forward, compute, open_embeddings
from dmlcli.errors import EmbeddingsError, ModelError
from dmlcli.learn import augment, frozen, rehearse, tune
from dmlcli.learn.choose import Choice, choose
from dmlcli.learn.closed_form import CAREFUL
from dmlcli.learn.encode import forward_of
from dmlcli.learn.fit import fit
from dmlcli.learn.material import Material, trunk_of
from dmlcli.learn.network import Network
from dmlcli.learn.reading import features_of
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.weights import Weights
from dmlcli.model import Model, open_model
from dmlcli.workspace import Workspace

_PHOTOS = 96  # that are read to tell how long one takes
_BATCH = 32  # photos in the batches that tell how long one takes to train on
_TENSORS = 3  # copies of the features that are alive at a time: of all, of a lesson, centred


@dataclass
class Estimate:
    """Seconds of each part of a run, and the most memory it holds, in bytes."""

    how: str = "none"
    parts: dict[str, float] = field(default_factory=dict)
    memory: int = 0


def estimate(
    photos: Catalog,
    recipe: Recipe,
    place: Workspace | None,
    hardware: torch.device,
    split: Callable[[Catalog, int], TrainingSplit],
) -> Estimate:
    """Try out the parts of a run; `place` is where features may be cached already."""
    found = Estimate()
    count = len(photos.items)
    start, trunk = trunk_of(recipe)
    with _saved(place, trunk, start, photos) as (model, export, is_there):
        forward = frozen.forward(model, trunk, hardware)
        each = _seconds_an_image(photos, recipe, model, forward)
    names = ["plain", *augment.view_names(recipe.views, recipe.seed, recipe.augment)[1:]]
    missing = sum(count - _cached(place, model, name) for name in names)
    found.parts["export"] = export * (1 if is_there else 2)  # of the frozen backbone, and of the model that ships
    found.parts["features"] = missing * each
    if recipe.tune == "none":
        found.parts["features"], found.parts["export"] = 0.0, export
        found.parts["embedding"] = count * each
        found.memory = _peak()
        return found

    matter = _imagined(photos, recipe, start, trunk, model, len(names), split)
    made = rehearse.rehearsals(photos.items, matter.split, recipe.purpose, recipe.seed)
    found.how = rehearse.describe(made, photos.items)
    began = time.monotonic()
    planned = tune.plan(matter, recipe) if len(made) < 2 else _first_of(matter, recipe, made)
    rehearsal = time.monotonic() - began
    found.parts["rehearsals"] = rehearsal * max(1, len(made))
    epoch, judging, last = _gradient(matter, planned, recipe, hardware)
    found.parts["epochs"] = recipe.epochs * (epoch + judging)
    found.parts["the last fit"] = last + rehearsal / 3
    found.parts["embedding"] = count * each if recipe.tune == "all" else 0.0
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
    view = augment.fixed_view(model.record.image, "plain")
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
    views: int,
    split: Callable[[Catalog, int], TrainingSplit],
) -> Material:
    """Material as the run would have it, but for random numbers in place of features."""
    chance = torch.Generator().manual_seed(recipe.seed)
    numbers = torch.randn(views, len(photos.items), model.record.dim, generator=chance)
    trunk.mirror = views > 1
    pretrained = frozen.build(start, recipe.seed)
    unknown = Embeddings(photos.root, photos.items, [], numbers[0].numpy(), "")
    return Material(
        start, pretrained, trunk, model, photos, split(photos, recipe.seed), F.normalize(numbers, dim=-1), unknown, []
    )


def _first_of(matter: Material, recipe: Recipe, made: list[rehearse.Rehearsal]) -> tune.Plan:
    """The plan after the first of several rehearsals: the others take as long."""
    lesson = matter.lesson(made[0].fit, made[0].searches)
    choice = Choice(CAREFUL, [], []) if recipe.head == "identity" else choose([lesson], recipe)
    frozen = [lesson.validation.scores(lesson.baseline.numpy())]
    return tune.Plan([lesson], "", choice.setting, frozen, choice.scores, choice.strangers)


def _gradient(
    matter: Material, planned: tune.Plan, recipe: Recipe, hardware: torch.device
) -> tuple[float, float, float]:
    """Seconds of an epoch, of judging it, and of what is done with the best one at the end."""
    lesson = planned.lessons[0]
    if recipe.tune == "head" and not lesson.validation:
        return 0.0, 0.0, 0.0
    network = tune.start(matter, lesson, planned.setting, recipe)
    if recipe.tune == "head":
        course = tune.course_of(network, lesson, planned.setting, replace(recipe, epochs=1, warmup=0), hardware)
        (epoch,) = fit(course.embed, course.learner, course.feed)
        began = time.monotonic()
        course.score()
        return epoch.seconds, time.monotonic() - began, recipe.epochs * epoch.seconds / 2
    few = replace(recipe, epochs=1, warmup=0, batch_size=_BATCH, chunk=None, accumulate=1)
    course = tune.course_of(network, lesson, planned.setting, few, hardware)
    feed = islice(course.feed(1), 4)
    shown = next(feed)
    list(fit(course.embed, course.learner, lambda _: [shown]))  # the first one warms up
    course.learner.epochs = 2
    (epoch,) = fit(course.embed, course.learner, lambda _: feed)
    passes = 2 if recipe.chunk else 1
    began = time.monotonic()
    some = lesson.files[:_PHOTOS]
    features_of(some, network.image, forward_of(network.headless(), hardware))
    each = (time.monotonic() - began) / len(some)
    judged = len(lesson.files) + len(lesson.validation_files)
    return epoch.seconds / epoch.images * len(lesson.files) * passes, each * judged, each * judged


def _peak() -> int:
    """The most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else math.ceil(peak * 1024)
