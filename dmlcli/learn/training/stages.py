"""One depth of training, head, last stage or whole network: what learns, from what, how a state of it is judged."""

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
from dmlcli.learn.networks.lda import ClosedForm, Setting
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.split import cut
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import cross_batch_memory, distributed
from dmlcli.learn.training.loop import Batch, start_from_means
from dmlcli.learn.training.state import Learner
from dmlcli.learn.validation.training_data import Lesson

T = TypeVar("T")
State = dict[str, Tensor]
_JUDGED = 128  # maps that go through the top at a time, where there is no gradient


@dataclass(frozen=True)
class Course:
    """What one depth of training consists of."""

    learner: Learner
    embed: Callable[[Tensor], Tensor]
    feed: Callable[[int], Iterable[Batch]]
    judge: Callable[[], tuple[Vectors | None, State]]  # what validation is to look at, and the state that gives it


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


def head_course(head: BlendHead, lesson: Lesson, recipe: Recipe) -> Course:
    """Train the tuned part of the head on cached features."""
    views = head.before(lesson.features)
    flat, labels = lesson.features.flatten(0, 1), lesson.labels.repeat(len(views))
    module = _start_loss(recipe, head, lesson, flat, labels)

    def embed(features: Tensor) -> Tensor:
        raw: Tensor = head.tuned.train()(features)
        return raw

    def feed(number: int) -> Iterator[Batch]:
        chance = torch.Generator().manual_seed(recipe.seed + number)
        for rows in _batches(module, lesson, recipe, number):
            chosen = torch.randint(len(views), (len(rows),), generator=chance)
            own = distributed.part(len(rows))
            yield views[chosen[own], rows[own]], lesson.labels[rows]

    @torch.no_grad()
    def judge() -> tuple[Vectors | None, State]:
        head.eval()
        head.remember(flat, labels)
        return head(lesson.validation_features).numpy() if lesson.validation else None, _copy(head, "head.")

    return Course(Learner(recipe, module, head=head.tuned), embed, feed, judge)


def top_course(network: Network, lesson: Lesson, setting: Setting, recipe: Recipe, device: torch.device) -> Course:
    """Train the last stage of a copy of the backbone, and the head, on maps that what stands below gave once.

    A state is judged like one of the whole network.
    """
    network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
    distributed.share_batch_norm(network, device)
    assert lesson.maps is not None
    head, halves = network.head, cut(network.backbone, lesson.maps.model.record.backbone)
    network.backbone.requires_grad_(False)
    halves.above.requires_grad_(True)
    maps = lesson.maps.kept(halves.below, device)
    module = _start_loss(recipe, head, lesson, lesson.features[0].to(device), lesson.labels.to(device)).to(device)
    trained_in, searched_in = fast_dtype(device, recipe.precision), search_dtype(device)

    def features(some: Tensor, dtype: torch.dtype | None) -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            above: Tensor = halves.above(some)
        return F.normalize(above.float(), dim=-1)

    def embed(some: Tensor) -> Tensor:
        head.train()
        halves.above.train(recipe.batch_norm == "free")
        return head.raw(features(some, trained_in))

    def feed(number: int) -> Iterator[Batch]:
        chance = torch.Generator().manual_seed(recipe.seed + number)
        batches = list(_batches(module, lesson, recipe, number))
        for chosen in progress.track(batches, f"epoch {number}"):
            views = torch.randint(len(maps), (len(chosen),), generator=chance).tolist()
            rows, own = [lesson.rows[row] for row in chosen], distributed.part(len(chosen))
            yield taken(maps, views[own], rows[own], device), lesson.labels[chosen].to(device)

    @torch.no_grad()
    def seen(rows: Sequence[int]) -> Tensor:
        """Features (N, F) as search sees images."""
        halves.above.eval()
        found = []
        for start in range(0, len(rows), _JUDGED):
            some = rows[start : start + _JUDGED]
            views = [taken(maps, [view] * len(some), some, device) for view in range(1 + network.mirror)]
            each = [features(view, searched_in) for view in views]
            found.append(F.normalize(torch.stack(each).sum(0), dim=-1).cpu())
        return torch.cat(found)

    def judge() -> tuple[Vectors | None, State]:
        return _judged(network, lesson, setting, lesson.rows, lesson.validation.rows, seen)

    trained = head.tuned if isinstance(head, BlendHead) else head
    return Course(Learner(recipe, module, head=trained, backbone=network.backbone), embed, feed, judge)


def whole_course(network: Network, lesson: Lesson, setting: Setting, recipe: Recipe, device: torch.device) -> Course:
    """Train a copy of backbone and head on random views of the files, read anew each epoch.

    A state is judged with a head solved anew for the features that the backbone has come to give.
    """
    network = copy.deepcopy(network).to(device)
    distributed.share_batch_norm(network, device)
    head = network.head
    module = _start_loss(recipe, head, lesson, lesson.features[0].to(device), lesson.labels.to(device)).to(device)
    network.to(memory_format=torch.channels_last).eval()
    dtype = fast_dtype(device, recipe.precision)

    def embed(images: Tensor) -> Tensor:
        head.train()
        network.backbone.train(recipe.batch_norm == "free")
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            features = network.features_of_view(images.to(device, memory_format=torch.channels_last))
        return head.raw(features)

    def feed(number: int) -> Iterator[Batch]:
        rows = list(_batches(module, lesson, recipe, number))
        told, seed = progress.track(rows, f"epoch {number}"), f"{recipe.seed}/{number}"
        own = (batch[distributed.part(len(batch))] for batch in told)
        read = random_views(own, lesson.files, network.image, seed, recipe.augment)
        for batch, (_, images) in zip(rows, read, strict=True):
            yield images, lesson.labels[batch].to(device)

    def judge() -> tuple[Vectors | None, State]:
        forward = forward_of(network.headless(), device, search_dtype(device))

        def seen(files: Sequence[Photo]) -> Tensor:
            return features_of(files, network.image, forward)

        return _judged(network, lesson, setting, lesson.files, lesson.validation_files, seen)

    trained = head.tuned if isinstance(head, BlendHead) else head
    return Course(Learner(recipe, module, head=trained, backbone=network.backbone), embed, feed, judge)


def _judged(
    network: Network,
    lesson: Lesson,
    setting: Setting,
    fitted: Sequence[T],
    searched: Sequence[T],
    seen: Callable[[Sequence[T]], Tensor],
) -> tuple[Vectors | None, State]:
    """A copy of the network with a head solved for the features that it gives now, and what it makes of the searches.

    Args:
        fitted, searched: the images of the lesson, and those of its validation.
        seen: their features, which processes that have joined compute in parts; then the leader alone judges.
    """
    judged = copy.deepcopy(network).cpu().eval()
    features = distributed.in_parts(fitted, seen) if isinstance(judged.head, BlendHead) else None
    others = distributed.in_parts(searched, seen) if lesson.validation else None
    if not distributed.leads():
        return None, {}
    if isinstance(judged.head, BlendHead) and features is not None:
        fill(judged.head, features, lesson, setting)
    if others is None:
        return None, _copy(judged)
    with torch.no_grad():
        return judged.head(others).numpy(), _copy(judged)


@torch.no_grad()
def fill(head: BlendHead, features: Tensor, lesson: Lesson, setting: Setting) -> None:
    """Set a head to the closed form of features (N, F) of a lesson; raises TrainingError where they are not finite."""
    if not features.isfinite().all():
        raise TrainingError("the backbone no longer gives finite numbers", hint="lower --learning-rate")
    ClosedForm(head.before(features), lesson.labels, lesson.weights).fill(head, setting)


def tell_small_products(lesson: Lesson, recipe: Recipe) -> None:
    """Say so where the sampler wants more images of a product than there are."""
    kind, labels = recipe.sampler or str(build_loss(recipe, 2, 2).sampler), lesson.labels.tolist()
    asked = recipe.images_per_product or class_balance.images_per_product(labels)
    small = too_small(labels, asked)
    if kind in ("pk", "category-pk") and small:
        images = f"fewer than {asked} images"
        progress.note(f"{small} products have {images}: they bring to a batch what they have")


def _start_loss(recipe: Recipe, head: Head, lesson: Lesson, features: Tensor, labels: Tensor) -> nn.Module:
    """A loss whose proxies stand at the means of features (N, F) with labels (N,), as the head sees them."""
    with torch.no_grad():
        raw = head.raw(features)
        module = build_loss(recipe, lesson.products, raw.shape[1], images=len(lesson.labels)).to(raw.device)
        start_from_means(module, raw, labels)
    return module


def _batches(loss: nn.Module, lesson: Lesson, recipe: Recipe, number: int) -> Iterator[list[int]]:
    """The batches of epoch `number`, drawn as asked for, else as the loss needs them."""
    labels, sources = lesson.labels.tolist(), lesson.sources
    return batches(
        recipe.sampler or class_balance.sampler(str(loss.sampler), labels, sources),
        labels,
        recipe.batch_size,
        recipe.seed + number,
        per_label=recipe.images_per_product or class_balance.images_per_product(labels),
        categories=lesson.categories,
        sources=sources,
    )


def _copy(module: nn.Module, prefix: str = "") -> State:
    return {f"{prefix}{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}
