"""How deep to train: `--tune auto` begins with the head, and goes deeper where device, photos and time allow it."""

import copy
import time
from dataclasses import dataclass, replace
from itertools import islice

import torch

from dmlcli.errors import UsageError
from dmlcli.learn.data.loader import features_of
from dmlcli.learn.networks.frozen_batch_norm import FrozenBatchNorms
from dmlcli.learn.networks.heads import BlendHead
from dmlcli.learn.networks.inference import fast_dtype, forward_of, search_dtype, synchronize
from dmlcli.learn.networks.lda import HeadParams
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.split import split_backbone
from dmlcli.learn.recipe import DEEP_BATCH, Recipe
from dmlcli.learn.time_budget import EXPORT, TimeBudget, is_costly
from dmlcli.learn.training.backbone_stages import TopStage, WholeStage
from dmlcli.learn.training.loop import fit
from dmlcli.learn.training.stages import HeadStage, Stage
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.training_data import Fold

PARTS = ("head", "top", "all")  # what can be trained
PASSES = 2.2  # looks at all photos after the last epoch: to solve the head, and by the slower graph to embed
_PROBE = 64  # photos that tell how long one takes
_BATCH = 32  # photos in the batches that tell how long one takes to train on
_LEAST_IMAGES = 200  # to fit on; with fewer, a backbone overfits
_MANY_IMAGES = 1000  # from which on a GPU trains the whole network
_WORTH_EPOCHS = {"all": 4, "top": 4}  # that must fit into a budget


@dataclass(frozen=True)
class StageChoice:
    """The stage that is trained next, or `none`, and the reason."""

    stage: str
    why: str
    epochs: int | None = None  # for which a time budget has room


def make_stage(network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device) -> Stage:
    """Return the stage of the recipe.

    Args:
        network: with the LDA head of the fold.
        fold: what to fit on, and what to score with.
        head_params: of the LDA head.
        recipe: with `tune` as the stage: head, top or all.
        device: on which it trains.
    """
    if recipe.tune == "head":
        assert isinstance(network.head, BlendHead)
        return HeadStage(network.head, fold, recipe)
    if recipe.tune == "top":
        return TopStage(network, fold, head_params, recipe, device)
    return WholeStage(network, fold, head_params, recipe, device)


def check(stage: str) -> str:
    """Return `stage`; raise ValueError for an unknown one."""
    if stage not in PARTS:
        raise ValueError(f"unknown stage {stage!r}")
    return stage


def for_stage(recipe: Recipe, stage: str) -> Recipe:
    """Return the recipe of `--tune auto` at one stage of it; any other as it is."""
    if recipe.tune != "auto":
        return recipe
    batch = recipe.batch_size
    return replace(recipe, tune=stage, batch_size=batch if stage == "head" else min(batch, DEEP_BATCH))


def first(recipe: Recipe, lda_only: bool = False) -> str:
    """Return the first stage; `none` where validation is too weak to trust gradient training of the head by it."""
    if recipe.tune in ("head", "auto"):
        return "none" if lda_only else "head"
    return recipe.tune


def next_stage(
    done: str,
    network: Network,
    plan: ValidationPlan,
    recipe: Recipe,
    device: torch.device,
    time_budget: TimeBudget,
) -> StageChoice:
    """Return the stage that `--tune auto` trains after another one.

    Args:
        done: the finished stage.
        network: with the LDA head of the first fold.
        plan: the folds.
        recipe: all settings.
        device: on which it trains.
        time_budget: decides how deep to train on a CPU.
    """
    if recipe.tune != "auto" or done != "head":
        return StageChoice("none", "")
    if not any(True for _ in network.backbone.parameters()):
        return StageChoice("none", "the backbone has no weights to train")
    fold = plan.folds[0]
    if not fold.validation:
        return StageChoice("none", "nothing could be held out to validate it")
    if len(fold.train.labels) < _LEAST_IMAGES:
        return StageChoice("none", f"{len(fold.train.labels)} images are too few to train a backbone on")
    reachable = _reachable(network, fold)
    if time_budget.is_limited:
        return _in_time(reachable, network, plan, recipe, device, time_budget)
    if device.type == "cpu":
        return StageChoice("none", f"on a CPU that takes minutes: --tune {reachable[-1]}, or --budget 10m, allows it")
    if len(fold.train.labels) < _MANY_IMAGES and "top" in reachable:
        return StageChoice("top", f"a GPU, and fewer than {_MANY_IMAGES} images: the last stage")
    return StageChoice("all", "a GPU: the whole network")


def _reachable(network: Network, fold: Fold) -> list[str]:
    """Return the depths below the head that this backbone has, the deepest first."""
    try:
        split_backbone(network.backbone, fold.maps.model.record.backbone)
    except UsageError:
        return ["all"]
    return ["all", "top"]


def _in_time(
    reachable: list[str],
    network: Network,
    plan: ValidationPlan,
    recipe: Recipe,
    device: torch.device,
    time_budget: TimeBudget,
) -> StageChoice:
    """Return the deepest stage of which enough epochs fit into the rest of a time budget."""
    fold = plan.folds[0]
    each = seconds_a_photo(network, fold, device)
    look, photos = each * scored_images(fold), each * len(fold.maps.files)
    reasons = []
    for stage in reachable:
        before = 0.0 if stage == "all" else photos * len(fold.maps.views)  # the maps
        left = time_budget.left - EXPORT - PASSES * photos - before - look  # the last epoch is scored in any case
        if stage == "all" and left < look * _WORTH_EPOCHS[stage]:  # an epoch takes longer; what trying costs is saved
            reasons.append(f"{stage} has no time")
            continue
        of_stage = replace(recipe, tune=stage)
        step = seconds_an_image(network, fold, plan.head_params, of_stage, device)
        fitting = step * len(fold.train.labels)
        skips = may_skip_scores(of_stage) and is_costly(look, fitting)
        epoch = fitting + step * plan.images_again + (0.0 if skips else look)  # with its share of the final fit
        possible = int(left / epoch)
        if possible >= _WORTH_EPOCHS[stage]:
            why = f"{time_budget.left:.0f} s are left, an epoch takes about {epoch:.0f} s"
            return StageChoice(stage, why, possible)
        reasons.append(f"{stage} takes {epoch:.0f} s an epoch")
    return StageChoice("none", f"{time_budget.left:.0f} s are left, {', '.join(reasons)}")


def may_skip_scores(recipe: Recipe) -> bool:
    """Return whether only the last epoch needs a score: if scores take long, and training does not follow them."""
    return recipe.tune == "all" and not recipe.stops_after and recipe.schedule_spec.word != "plateau"


def scored_images(fold: Fold) -> int:
    """Return how many images pass the backbone where an epoch is scored."""
    return len({*fold.train.files, *fold.validation.files})


def seconds_a_photo(network: Network, fold: Fold, device: torch.device) -> float:
    """Return the seconds that a photo takes to pass the backbone, as search sees it.

    Args:
        network: its backbone is timed.
        fold: its photos.
        device: on which it runs.
    """
    forward = forward_of(copy.deepcopy(network).headless(), device, search_dtype(device))
    files = fold.train.files[:_PROBE]
    features_of(files[:16], network.image, forward)
    started = time.monotonic()
    features_of(files, network.image, forward)
    return (time.monotonic() - started) / len(files)


def seconds_an_image(
    network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device
) -> float:
    """Return the seconds that training on one image takes, measured on a few.

    Args:
        network: with the LDA head of the fold.
        fold: its photos.
        head_params: of the LDA head.
        recipe: with `tune` as the stage.
        device: on which it trains.
    """
    if recipe.tune == "top":
        return _seconds_a_map(network, fold, recipe, device)
    few = replace(recipe, epochs=1, warmup=0, batch_size=_BATCH, chunk=None, accumulate=1, ema=None)
    stage = make_stage(network, fold, head_params, few, device)
    feed = islice(stage.batches(1), 4)
    shown = next(feed)
    list(fit(stage.embed, stage.trainer, lambda _: [shown]))  # the first one warms up
    stage.trainer.epochs = 2
    (epoch,) = fit(stage.embed, stage.trainer, lambda _: feed)
    return epoch.seconds / epoch.images * (2 if recipe.chunk else 1)


def _seconds_a_map(network: Network, fold: Fold, recipe: Recipe, device: torch.device) -> float:
    """Return the same of the last stage alone, without keeping maps for it."""
    network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
    parts, dtype = (
        split_backbone(network.backbone, fold.maps.model.record.backbone),
        fast_dtype(device, recipe.precision),
    )
    parts.top.requires_grad_(True)
    batch_norms = FrozenBatchNorms(parts.top if recipe.batch_norm == "frozen" else None)
    with torch.no_grad():
        maps = parts.stem(torch.rand(_BATCH, 3, network.image.crop, network.image.crop, device=device))
    for round in range(4):
        if round == 1:  # the first one warms up
            synchronize(device)
            started = time.monotonic()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None), batch_norms.folded():
            features = parts.top(maps)
        features.float().square().mean().backward()
    synchronize(device)
    return (time.monotonic() - started) / (3 * _BATCH)
