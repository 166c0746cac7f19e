"""How deep to train: `--tune auto` begins with the head, and goes deeper where device, photos and time allow it."""

import copy
import time
from dataclasses import dataclass, replace
from itertools import islice

import torch

from dmlcli.errors import UsageError
from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.networks.inference import fast_dtype, forward_of, search_dtype, synchronize
from dmlcli.learn.networks.lda import Setting
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.split import cut
from dmlcli.learn.recipe import DEEP_BATCH, Recipe
from dmlcli.learn.time_budget import EXPORT, Clock
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.stages import Course, head_course, top_course, whole_course
from dmlcli.learn.validation.training_data import Lesson

PARTS = ("head", "top", "all")  # what can be trained
PASSES = 2.2  # looks at all photos after the last epoch: to solve the head, and by the slower graph to embed
_PROBE = 64  # photos that tell how long one takes
_BATCH = 32  # photos in the batches that tell how long one takes to train on
_LEAST_IMAGES = 200  # to fit on; with fewer, a backbone learns them by heart
_MANY_IMAGES = 1000  # from which on a GPU trains the whole network
_WORTH_EPOCHS = {"all": 8, "top": 4}  # that must fit into a budget


@dataclass(frozen=True)
class Choice:
    """A depth, `none` where there is nothing to go deeper for, and why."""

    depth: str
    why: str


def course_of(network: Network, lesson: Lesson, setting: Setting, recipe: Recipe, device: torch.device) -> Course:
    """The course that the recipe asks for."""
    if recipe.tune == "head":
        assert isinstance(network.head, BlendHead)
        return head_course(network.head, lesson, recipe)
    if recipe.tune == "top":
        return top_course(network, lesson, setting, recipe, device)
    return whole_course(network, lesson, setting, recipe, device)


def check(depth: str) -> str:
    """Return `depth`; raises ValueError where there is no such one."""
    if depth not in PARTS:
        raise ValueError(f"there is no depth {depth!r}")
    return depth


def at_depth(recipe: Recipe, depth: str) -> Recipe:
    """The recipe of `--tune auto` at one depth of it; any other as it is."""
    if recipe.tune != "auto":
        return recipe
    batch = recipe.batch_size
    return replace(recipe, tune=depth, batch_size=batch if depth == "head" else min(batch, DEEP_BATCH))


def first(recipe: Recipe, only_closed: bool = False) -> str:
    """Where training begins; `none` where searches say too little to trust gradient steps by them, unless asked for."""
    if recipe.tune in ("head", "auto"):
        return "none" if only_closed else "head"
    return recipe.tune


def deeper(
    done: str, network: Network, lesson: Lesson, setting: Setting, recipe: Recipe, device: torch.device, clock: Clock
) -> Choice:
    """Where `--tune auto` goes after the head."""
    if recipe.tune != "auto" or done != "head":
        return Choice("none", "")
    if not any(True for _ in network.backbone.parameters()):
        return Choice("none", "the backbone has no weights to train")
    if not lesson.validation:
        return Choice("none", "nothing could be held out to judge a deeper training")
    if len(lesson.labels) < _LEAST_IMAGES:
        return Choice("none", f"{len(lesson.labels)} images are too few to train a backbone on")
    reachable = _reachable(network, lesson)
    if clock.is_limited:
        return _in_time(reachable, network, lesson, setting, recipe, device, clock)
    if device.type == "cpu":
        return Choice("none", f"on a CPU that takes minutes: --tune {reachable[-1]}, or --budget 10m, allows it")
    if len(lesson.labels) < _MANY_IMAGES and "top" in reachable:
        return Choice("top", f"a GPU, and fewer than {_MANY_IMAGES} images: the last stage")
    return Choice("all", "a GPU: the whole network")


def _reachable(network: Network, lesson: Lesson) -> list[str]:
    """The depths below the head that this backbone has, the deepest first."""
    assert lesson.maps is not None
    try:
        cut(network.backbone, lesson.maps.model.record.backbone)
    except UsageError:
        return ["all"]
    return ["all", "top"]


def _in_time(
    reachable: list[str],
    network: Network,
    lesson: Lesson,
    setting: Setting,
    recipe: Recipe,
    device: torch.device,
    clock: Clock,
) -> Choice:
    """The deepest training of which enough epochs fit into what is left of a budget."""
    look = look_of(network, lesson, device)
    told = []
    for depth in reachable:
        before = 0.0 if depth == "all" else look * _views(lesson)  # the maps
        left = clock.left - EXPORT - PASSES * look - before
        if left < 2 * look * _WORTH_EPOCHS[depth]:  # an epoch takes longer than a look; what trying would cost is saved
            told.append(f"{depth} has no time")
            continue
        each = seconds_an_image(network, lesson, setting, replace(recipe, tune=depth), device)
        epoch = each * len(lesson.labels) + look
        possible = int(left / epoch)
        if possible >= _WORTH_EPOCHS[depth]:
            return Choice(depth, f"{clock.left:.0f} s are left, an epoch takes about {epoch:.0f} s")
        told.append(f"{depth} takes {epoch:.0f} s an epoch")
    return Choice("none", f"{clock.left:.0f} s are left, {', '.join(told)}")


def _views(lesson: Lesson) -> int:
    assert lesson.maps is not None
    return len(lesson.maps.views)


def look_of(network: Network, lesson: Lesson, device: torch.device) -> float:
    """Seconds that all photos of a lesson take to go through the backbone: what it is to judge an epoch."""
    forward = forward_of(copy.deepcopy(network).headless(), device, search_dtype(device))
    files = lesson.files[:_PROBE]
    features_of(files[:16], network.image, forward)
    started = time.monotonic()
    features_of(files, network.image, forward)
    return (time.monotonic() - started) / len(files) * (len(lesson.files) + len(lesson.validation_files))


def seconds_an_image(network: Network, lesson: Lesson, setting: Setting, recipe: Recipe, device: torch.device) -> float:
    """Seconds that training on one image takes, found by training on a few."""
    if recipe.tune == "top":
        return _seconds_a_map(network, lesson, recipe, device)
    few = replace(recipe, epochs=1, warmup=0, batch_size=_BATCH, chunk=None, accumulate=1, ema=None)
    course = course_of(network, lesson, setting, few, device)
    feed = islice(course.feed(1), 4)
    shown = next(feed)
    list(fit(course.embed, course.learner, lambda _: [shown]))  # the first one warms up
    course.learner.epochs = 2
    (epoch,) = fit(course.embed, course.learner, lambda _: feed)
    return epoch.seconds / epoch.images * (2 if recipe.chunk else 1)


def _seconds_a_map(network: Network, lesson: Lesson, recipe: Recipe, device: torch.device) -> float:
    """The same of the last stage alone, without keeping maps for it."""
    network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
    assert lesson.maps is not None
    halves, dtype = cut(network.backbone, lesson.maps.model.record.backbone), fast_dtype(device, recipe.precision)
    halves.above.requires_grad_(True)
    with torch.no_grad():
        maps = halves.below(torch.rand(_BATCH, 3, network.image.crop, network.image.crop, device=device))
    for round in range(4):
        if round == 1:  # the first one warms up
            synchronize(device)
            started = time.monotonic()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            features = halves.above(maps)
        features.float().square().mean().backward()
    synchronize(device)
    return (time.monotonic() - started) / (3 * _BATCH)
