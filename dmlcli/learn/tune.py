"""How deep training goes: the head on cached features, or the whole network. Both are generators of trials.

A trial is a state of the network worth scoring. The closed forms come first, then one trial per epoch; whoever consumes
them keeps the best, so that training can never end worse than its own start.
"""

import copy
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dmlcli import progress
from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.embeddings import Embeddings, Vectors
from dmlcli.errors import TrainingError
from dmlcli.image import ImageSettings, view
from dmlcli.learn import closed_form, losses, memory
from dmlcli.learn.augment import random_view
from dmlcli.learn.batches import batches, too_small
from dmlcli.learn.checkpoint import Checkpoint
from dmlcli.learn.encode import fast_dtype, forward_of
from dmlcli.learn.fit import Batch, Epoch, fit, start_from_means
from dmlcli.learn.learner import Learner
from dmlcli.learn.network import BlendHead, Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validate import Validation


@dataclass(frozen=True)
class Trial:
    """A state of the network: where it came from, its MAP@R in validation (None: there is none), what changed."""

    origin: str
    score: float | None
    state: dict[str, Tensor]  # of the network, only what differs from the frozen backbone
    epoch: Epoch | None = None  # None where no gradient was at work

    def beats(self, other: "Trial") -> bool:
        """Whether to ship this one rather than `other`; without scores the later one."""
        return self.score is None or other.score is None or self.score > other.score

    def facts(self) -> dict[str, Any]:
        """What metrics.jsonl tells of it."""
        told: dict[str, Any] = {"trial": self.origin, "map@r": self.score}
        if self.epoch is None:
            return told
        epoch = asdict(self.epoch)
        health = epoch.pop("health")
        return told | {"epoch": epoch.pop("number"), **epoch, **health}

    def kept(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"origin": self.origin, "score": self.score, "state": self.state}


@dataclass(frozen=True)
class Material:
    """What is trained on: cached features of each view (V, N, F), labels (N,), files (N,); and what validates."""

    features: Tensor
    labels: Tensor
    files: list[Path]
    categories: list[str]  # (N,)
    validation: Validation
    validation_features: Tensor  # (len(validation.rows), F), plain view
    validation_files: list[Path]


def gather(fitted: Catalog, features: Tensor, plain: Embeddings, split: TrainingSplit) -> Material:
    """Put together what is trained on.

    Args:
        fitted: the images to fit on; `features` (V, N, F) are theirs.
        plain: the plain view of all images that `split` speaks of.
    """
    number = {product: label for label, product in enumerate(sorted({item.product for item in fitted.items}))}
    validation = Validation(plain.products, split)
    return Material(
        features=features,
        labels=torch.tensor([number[item.product] for item in fitted.items]),
        files=[fitted.root / item.path for item in fitted.items],
        categories=[item.category for item in fitted.items],
        validation=validation,
        validation_features=torch.from_numpy(plain.take(validation.rows).vectors),
        validation_files=[plain.root / plain.items[row].path for row in validation.rows],
    )


def build_loss(recipe: Recipe, num_labels: int, embedding_dim: int, images: int = 0) -> nn.Module:
    """The loss that is asked for, with its memory; raises UsageError where they do not go together.

    `images` is how many an epoch shows, for the memory to start within the run.
    """
    module = losses.build(recipe.loss, num_labels, embedding_dim)
    if recipe.memory is None:
        return module
    spec = memory.parse(recipe.memory)
    steps = recipe.epochs * images // recipe.batch_size  # in the whole run, about
    start = min(1000, steps // 10) if spec.start is None else spec.start
    if images and start >= steps:
        progress.warn(f"the memory starts after {start} batches, but the run has only about {steps}")
    return memory.Memory(module, embedding_dim, size=spec.size, start=start)


def frozen_trial(material: Material) -> Trial:
    """The baseline: the backbone's own features, untrained."""
    score = material.validation.score(material.validation_features.numpy()) if material.validation else None
    return Trial("frozen backbone", score, {})


def trials(
    network: Network, material: Material, recipe: Recipe, device: torch.device, checkpoint: Checkpoint | None = None
) -> Iterator[Trial]:
    """The closed forms, then the epochs of gradient training that starts from the best of them, until it stagnates.

    `checkpoint` is where the epochs go on from, if it holds something, and where they leave their state.
    """
    best = None
    for trial in closed_forms(network, material):
        best = trial if best is None or trial.beats(best) else best
        yield trial
    if best is None or (recipe.tune == "head" and best.score is None):
        return  # with nothing to judge them by, gradient steps on cached features are not worth their risk
    network.load_state_dict(best.state, strict=False)
    _tell_small_products(material, recipe)
    head = _blend_head(network)
    course = (
        head_course(head, material, recipe)
        if recipe.tune == "head"
        else course_of_all(network, material, recipe, device)
    )
    stale = 0
    saved = checkpoint.load() if checkpoint else None
    if saved is not None:
        course.learner.load_state_dict(saved["learner"])
        best, stale = Trial(**saved["best"]), saved["stale"]
        yield best
    if recipe.patience and stale >= recipe.patience:
        return
    for epoch in fit(course.embed, course.learner, course.feed):
        with course.learner.averaged():
            trial = Trial(f"epoch {epoch.number}", course.score(), course.copy(), epoch)
        course.learner.told(trial.score)
        stale = 0 if trial.beats(best) else stale + 1
        best = trial if trial.beats(best) else best
        yield trial
        if epoch.health.trouble:
            progress.warn(f"training stopped after {trial.origin}: {epoch.health.trouble}")
            return
        if checkpoint:
            checkpoint.save({"learner": course.learner.state_dict(), "best": best.kept(), "stale": stale})
        if stale == recipe.patience:
            return


def closed_forms(network: Network, material: Material) -> Iterator[Trial]:
    """Shrinkage LDA, with more and less shrinkage and blend; without validation only the most careful one."""
    head = _blend_head(network)
    first = 0 if material.validation else -1
    labels = material.labels.repeat(len(material.features))
    solved = closed_form.ClosedForm(material.features.flatten(0, 1), labels)
    for shrinkage in closed_form.SHRINKAGES[first:]:
        solved.fill(head, shrinkage)
        for weight in closed_form.BLENDS[first:]:
            head.blend = torch.tensor(weight)
            name = f"closed form, shrinkage {shrinkage:g}, blend {weight:g}"
            yield Trial(name, _score_head(head, material), _copy(head, "head."))


def compare_heads(material: Material, recipe: Recipe, specs: Iterable[str]) -> Iterator[tuple[str, Vectors, str]]:
    """Train a head with each loss, all from the most careful closed form, which itself comes first, under no name.

    Yields: the loss, the embeddings (len(validation.rows), D) after its last epoch, and what went wrong, if anything.
    """
    count = int(material.labels.max()) + 1
    start = BlendHead(material.features.shape[-1], *closed_form.split_dim(recipe.dim, count), closed_form.BLENDS[-1])
    labels = material.labels.repeat(len(material.features))
    closed_form.ClosedForm(material.features.flatten(0, 1), labels).fill(start, closed_form.SHRINKAGES[-1])
    with torch.no_grad():
        yield "", start(material.validation_features).numpy(), ""
    for spec in specs:
        torch.manual_seed(recipe.seed)
        head, trouble = copy.deepcopy(start), ""
        try:
            course = head_course(head, material, replace(recipe, loss=spec))
            for epoch in fit(course.embed, course.learner, course.feed):
                trouble = epoch.health.trouble
        except TrainingError as error:
            trouble = str(error)
        with torch.no_grad():
            yield spec, head(material.validation_features).numpy(), trouble


@dataclass(frozen=True)
class Course:
    """What one depth of training consists of: what learns, from what, and how a state of it is judged and copied."""

    learner: Learner
    embed: Callable[[Tensor], Tensor]
    feed: Callable[[int], Iterable[Batch]]
    score: Callable[[], float | None]
    copy: Callable[[], dict[str, Tensor]]


def head_course(head: BlendHead, material: Material, recipe: Recipe) -> Course:
    """Train the tuned part of the head on cached features."""
    features, labels = material.features, material.labels
    module = _start_loss(recipe, head, features.flatten(0, 1), labels.repeat(len(features)), len(features))

    def feed(number: int) -> Iterator[Batch]:
        chance = torch.Generator().manual_seed(recipe.seed + number)
        for rows in _batches(module, material, recipe, number):
            views = torch.randint(len(features), (len(rows),), generator=chance)
            yield features[views, rows], labels[rows]

    return Course(
        learner=Learner(recipe, module, head=head.tuned),
        embed=head.tuned,
        feed=feed,
        score=lambda: _score_head(head, material),
        copy=lambda: _copy(head, "head."),
    )


def course_of_all(network: Network, material: Material, recipe: Recipe, device: torch.device) -> Course:
    """Train a copy of backbone and head on random views of the files, read anew each epoch; batch norm stays frozen."""
    network = copy.deepcopy(network)
    head = _blend_head(network)
    module = _start_loss(recipe, head, material.features[0], material.labels, 1).to(device)
    network.to(device).to(memory_format=torch.channels_last).eval()
    dtype = fast_dtype(device, recipe.precision)

    def embed(images: Tensor) -> Tensor:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            features = network.features(images.to(device, memory_format=torch.channels_last))
        raw: Tensor = head.tuned(features)
        return raw

    def feed(number: int) -> Iterator[Batch]:
        rows = _batches(module, material, recipe, number)
        for chosen, images in _random_views(rows, material.files, network.image, f"{recipe.seed}/{number}"):
            yield images, material.labels[chosen].to(device)

    return Course(
        learner=Learner(recipe, module, head=head.tuned, backbone=network.backbone),
        embed=embed,
        feed=feed,
        score=lambda: _score_files(network, material, device),
        copy=lambda: _copy(network),
    )


def _blend_head(network: Network) -> BlendHead:
    assert isinstance(network.head, BlendHead)
    return network.head


def _start_loss(recipe: Recipe, head: BlendHead, features: Tensor, labels: Tensor, views: int) -> nn.Module:
    module = build_loss(recipe, int(labels.max()) + 1, head.tuned.out_features, images=len(labels) // views)
    with torch.no_grad():
        start_from_means(module, head.tuned(features), labels)
    return module


def _tell_small_products(material: Material, recipe: Recipe) -> None:
    kind = recipe.sampler or str(build_loss(recipe, 2, 2).sampler)
    small = too_small(material.labels.tolist(), recipe.images_per_product)
    if kind in ("pk", "category-pk") and small:
        images = f"fewer than {recipe.images_per_product} images"
        progress.note(f"{small} products have {images}: they bring to a batch what they have")


def _batches(loss: nn.Module, material: Material, recipe: Recipe, number: int) -> Iterator[list[int]]:
    """The batches of epoch `number`, drawn as asked for, else as the loss needs them."""
    return batches(
        recipe.sampler or str(loss.sampler),
        material.labels.tolist(),
        recipe.batch_size,
        recipe.seed + number,
        per_label=recipe.images_per_product,
        categories=material.categories,
    )


def _copy(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{name}": value.detach().cpu().clone() for name, value in module.state_dict().items()}


@torch.no_grad()
def _score_head(head: BlendHead, material: Material) -> float | None:
    if not material.validation:
        return None
    return material.validation.score(head(material.validation_features).numpy())


def _score_files(network: Network, material: Material, device: torch.device) -> float | None:
    if not material.validation:
        return None
    forward = forward_of(network, device)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        views = threads.map(lambda file: view(file.read_bytes(), network.image), material.validation_files)
        vectors: list[Vectors] = [forward(np.stack(batch)) for batch in _grouped(views, 64)]
    return material.validation.score(np.concatenate(vectors))


def _grouped(items: Iterable[Vectors], size: int) -> Iterator[list[Vectors]]:
    group: list[Vectors] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _random_views(
    batched: Iterable[list[int]], files: Sequence[Path], settings: ImageSettings, seed: str
) -> Iterator[tuple[list[int], Tensor]]:
    """Read batches of random views in threads, one batch ahead of the one in use."""

    def read(row: int) -> Vectors:
        return random_view(files[row].read_bytes(), settings, random.Random(f"{seed}/{row}"))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        waiting: tuple[list[int], Iterator[Vectors]] | None = None
        for rows in [*batched, None]:
            coming = (rows, threads.map(read, rows)) if rows is not None else None
            if waiting is not None:
                yield waiting[0], torch.from_numpy(np.stack(list(waiting[1])))
            waiting = coming
