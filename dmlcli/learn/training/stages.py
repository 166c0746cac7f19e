"""One stage of training, head, last stage or whole network: what learns, from what, how a state of it is scored."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli import progress
from dmlcli.catalog import Photo
from dmlcli.embeddings import Vectors
from dmlcli.errors import TrainingError
from dmlcli.learn import losses
from dmlcli.learn.data import class_balance
from dmlcli.learn.data.activation_cache import taken
from dmlcli.learn.data.loader import features_of, random_views
from dmlcli.learn.data.samplers import batches, too_small
from dmlcli.learn.networks.heads import BlendHead, Head
from dmlcli.learn.networks.inference import fast_dtype, forward_of, search_dtype
from dmlcli.learn.networks.lda import HeadParams, ShrinkageLDA
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.split import split_backbone
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import cross_batch_memory, distributed
from dmlcli.learn.training.loop import Batch, start_from_means
from dmlcli.learn.training.state import TrainerState
from dmlcli.learn.validation.training_data import Fold

T = TypeVar("T")
State = dict[str, Tensor]
_EVAL_BATCH = 128  # maps that go through the top at a time, where there is no gradient


@dataclass(frozen=True)
class Stage:
    """What one depth of training consists of."""

    trainer: TrainerState
    embed: Callable[[Tensor], Tensor]
    feed: Callable[[int], Iterable[Batch]]
    evaluate: Callable[[], tuple[Vectors | None, State]]  # what validation is to look at, and the state that gives it


def build_loss(recipe: Recipe, num_labels: int, embedding_dim: int, images: int = 0) -> nn.Module:
    """The loss that is asked for, with its memory; raises UsageError where they do not go together.

    `images` is how many an epoch shows, for the memory to start within the run.
    """
    module = losses.build(recipe.loss, num_labels, embedding_dim)
    if recipe.memory is None:
        return module
    spec = cross_batch_memory.parse(recipe.memory)
    steps = recipe.epochs * images // recipe.batch_size  # in the whole run, about
    start = min(1000, steps // 10) if spec.start is None else spec.start
    if images and start >= steps:
        progress.warn(f"the memory starts after {start} batches, but the run has only about {steps}")
    return cross_batch_memory.Memory(module, embedding_dim, size=spec.size, start=start)


def head_stage(head: BlendHead, fold: Fold, recipe: Recipe) -> Stage:
    """Train the discriminative part of the head on cached features."""
    views = head.before(fold.features)
    flat, labels = fold.features.flatten(0, 1), fold.labels.repeat(len(views))
    module = _start_loss(recipe, head, fold, flat, labels)

    def embed(features: Tensor) -> Tensor:
        raw: Tensor = head.discriminative.train()(features)
        return raw

    def feed(number: int) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(recipe.seed + number)
        for rows in _batches(module, fold, recipe, number):
            chosen = torch.randint(len(views), (len(rows),), generator=rng)
            own = distributed.shard(len(rows))
            yield views[chosen[own], rows[own]], fold.labels[rows]

    @torch.no_grad()
    def evaluate() -> tuple[Vectors | None, State]:
        head.eval()
        head.set_prototypes(flat, labels)
        return head(fold.validation_features).numpy() if fold.validation else None, _copy(head, "head.")

    return Stage(TrainerState(recipe, module, head=head.discriminative), embed, feed, evaluate)


def top_stage(network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device) -> Stage:
    """Train the last stage of a copy of the backbone, and the head, on maps that what stands below gave once.

    A state is scored like one of the whole network.
    """
    network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
    distributed.share_batch_norm(network, device)
    assert fold.maps is not None
    head, parts = network.head, split_backbone(network.backbone, fold.maps.model.record.backbone)
    network.backbone.requires_grad_(False)
    parts.top.requires_grad_(True)
    maps = fold.maps.kept(parts.stem, device)
    module = _start_loss(recipe, head, fold, fold.features[0].to(device), fold.labels.to(device)).to(device)
    trained_in, searched_in = fast_dtype(device, recipe.precision), search_dtype(device)

    def features(some: Tensor, dtype: torch.dtype | None) -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            top: Tensor = parts.top(some)
        return F.normalize(top.float(), dim=-1)

    def embed(some: Tensor) -> Tensor:
        head.train()
        parts.top.train(recipe.batch_norm == "free")
        return head.raw(features(some, trained_in))

    def feed(number: int) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(recipe.seed + number)
        batches = list(_batches(module, fold, recipe, number))
        for chosen in progress.track(batches, f"epoch {number}"):
            views = torch.randint(len(maps), (len(chosen),), generator=rng).tolist()
            rows, own = [fold.rows[row] for row in chosen], distributed.shard(len(chosen))
            yield taken(maps, views[own], rows[own], device), fold.labels[chosen].to(device)

    @torch.no_grad()
    def seen(rows: Sequence[int]) -> Tensor:
        """Features (N, F) as search sees images."""
        parts.top.eval()
        found = []
        for start in range(0, len(rows), _EVAL_BATCH):
            some = rows[start : start + _EVAL_BATCH]
            views = [taken(maps, [view] * len(some), some, device) for view in range(1 + network.mirror)]
            each = [features(view, searched_in) for view in views]
            found.append(F.normalize(torch.stack(each).sum(0), dim=-1).cpu())
        return torch.cat(found)

    def evaluate() -> tuple[Vectors | None, State]:
        return _evaluated(network, fold, head_params, fold.rows, fold.validation.rows, seen)

    trained = head.discriminative if isinstance(head, BlendHead) else head
    return Stage(TrainerState(recipe, module, head=trained, backbone=network.backbone), embed, feed, evaluate)


def whole_stage(network: Network, fold: Fold, head_params: HeadParams, recipe: Recipe, device: torch.device) -> Stage:
    """Train a copy of backbone and head on random views of the files, read anew each epoch.

    A state is scored with a head solved again for the features that the backbone has come to give.
    """
    network = copy.deepcopy(network).to(device)
    distributed.share_batch_norm(network, device)
    head = network.head
    module = _start_loss(recipe, head, fold, fold.features[0].to(device), fold.labels.to(device)).to(device)
    network.to(memory_format=torch.channels_last).eval()
    dtype = fast_dtype(device, recipe.precision)

    def embed(images: Tensor) -> Tensor:
        head.train()
        network.backbone.train(recipe.batch_norm == "free")
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            features = network.features_of_view(images.to(device, memory_format=torch.channels_last))
        return head.raw(features)

    def feed(number: int) -> Iterator[Batch]:
        rows = list(_batches(module, fold, recipe, number))
        tracked, seed = progress.track(rows, f"epoch {number}"), f"{recipe.seed}/{number}"
        own = (batch[distributed.shard(len(batch))] for batch in tracked)
        read = random_views(own, fold.files, network.image, seed, recipe.augment)
        for batch, (_, images) in zip(rows, read, strict=True):
            yield images, fold.labels[batch].to(device)

    def evaluate() -> tuple[Vectors | None, State]:
        forward = forward_of(network.headless(), device, search_dtype(device))

        def seen(files: Sequence[Photo]) -> Tensor:
            return features_of(files, network.image, forward)

        return _evaluated(network, fold, head_params, fold.files, fold.validation_files, seen)

    trained = head.discriminative if isinstance(head, BlendHead) else head
    return Stage(TrainerState(recipe, module, head=trained, backbone=network.backbone), embed, feed, evaluate)


def _evaluated(
    network: Network,
    fold: Fold,
    head_params: HeadParams,
    fitted: Sequence[T],
    searched: Sequence[T],
    seen: Callable[[Sequence[T]], Tensor],
) -> tuple[Vectors | None, State]:
    """A copy of the network with a head solved for the features that it gives now, and what it makes of the searches.

    Args:
        fitted, searched: the images of the fold, and those of its validation.
        seen: their features, which all processes compute in shards; then the main process alone scores them.
    """
    scored = copy.deepcopy(network).cpu().eval()
    features = distributed.map_sharded(fitted, seen) if isinstance(scored.head, BlendHead) else None
    others = distributed.map_sharded(searched, seen) if fold.validation else None
    if not distributed.is_main():
        return None, {}
    if isinstance(scored.head, BlendHead) and features is not None:
        fill(scored.head, features, fold, head_params)
    if others is None:
        return None, _copy(scored)
    with torch.no_grad():
        return scored.head(others).numpy(), _copy(scored)


@torch.no_grad()
def fill(head: BlendHead, features: Tensor, fold: Fold, head_params: HeadParams) -> None:
    """Set a head by LDA of the features (N, F) of a fold; raises TrainingError where they are not finite."""
    if not features.isfinite().all():
        raise TrainingError("the backbone no longer gives finite numbers", hint="lower --learning-rate")
    ShrinkageLDA(head.before(features), fold.labels, fold.weights).fill(head, head_params)


def note_small_products(fold: Fold, recipe: Recipe) -> None:
    """Say so where the sampler wants more images of a product than there are."""
    kind, labels = recipe.sampler or str(build_loss(recipe, 2, 2).sampler), fold.labels.tolist()
    asked = recipe.images_per_product or class_balance.images_per_product(labels)
    small = too_small(labels, asked)
    if kind in ("pk", "category-pk") and small:
        images = f"fewer than {asked} images"
        progress.note(f"{small} products have {images}: they bring to a batch what they have")


def _start_loss(recipe: Recipe, head: Head, fold: Fold, features: Tensor, labels: Tensor) -> nn.Module:
    """A loss whose proxies stand at the means of features (N, F) with labels (N,), as the head sees them."""
    with torch.no_grad():
        raw = head.raw(features)
        module = build_loss(recipe, fold.products, raw.shape[1], images=len(fold.labels)).to(raw.device)
        start_from_means(module, raw, labels)
    return module


def _batches(loss: nn.Module, fold: Fold, recipe: Recipe, number: int) -> Iterator[list[int]]:
    """The batches of epoch `number`, drawn as asked for, else as the loss needs them."""
    labels, sources = fold.labels.tolist(), fold.sources
    return batches(
        recipe.sampler or class_balance.sampler(str(loss.sampler), labels, sources),
        labels,
        recipe.batch_size,
        recipe.seed + number,
        per_label=recipe.images_per_product or class_balance.images_per_product(labels),
        categories=fold.categories,
        sources=sources,
    )


def _copy(module: nn.Module, prefix: str = "") -> State:
    return {f"{prefix}{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}
