"""The loss of a training run: built from the recipe, with proxies at the means of their products."""

import torch
from torch import Tensor, nn

from dmlcli import progress
from dmlcli.learn import losses
from dmlcli.learn.data import class_balance
from dmlcli.learn.data.samplers import too_small
from dmlcli.learn.networks.heads import Head
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.training import cross_batch_memory
from dmlcli.learn.validation.training_data import TrainPart

_NOISE = 0.3  # length of the noise that makes several centers of one label differ; means have length 1


def check_loss(recipe: Recipe) -> None:
    """Raise UsageError where settings of the loss are out of range, or its memory does not go with it."""
    build_loss(recipe, num_labels=2, embedding_dim=2)


def build_loss(recipe: Recipe, num_labels: int, embedding_dim: int, images: int = 0) -> nn.Module:
    """Build the loss of a recipe, with its cross-batch memory.

    Args:
        recipe: names the loss and the memory.
        num_labels: number of products.
        embedding_dim: length of an embedding.
        images: in an epoch, so that the memory starts within the run; 0: not known.

    Raises:
        UsageError: loss and memory do not go together.
    """
    module = losses.build(recipe.loss_terms, num_labels, embedding_dim)
    spec = recipe.memory_spec
    if spec is None:
        return module
    steps = recipe.epochs * images // recipe.batch_size  # of the whole run, roughly
    start = min(1000, steps // 10) if spec.start is None else spec.start
    if images and start >= steps:
        progress.warn(f"the memory starts after {start} batches, but the run has only about {steps}")
    return cross_batch_memory.Memory(module, embedding_dim, size=spec.size, start=start)


def initial_loss(recipe: Recipe, head: Head, train: TrainPart, features: Tensor, labels: Tensor) -> nn.Module:
    """Build the loss of a recipe with its proxies at the mean embedding of each product.

    Args:
        recipe: names the loss.
        head: makes embeddings of the features.
        train: the images of the fold.
        features: (N, F) of these images, or of several views of them.
        labels: (N,) of the features.
    """
    with torch.no_grad():
        embeddings = head.raw(features)
        module = build_loss(recipe, train.products, embeddings.shape[1], len(train.labels)).to(embeddings.device)
        start_from_means(module, embeddings, labels)
    return module


def note_small_products(train: TrainPart, recipe: Recipe) -> None:
    """Print a note where the sampler wants more images of a product than there are."""
    labels = train.labels.tolist()
    sampler = recipe.sampler or str(build_loss(recipe, 2, 2).sampler)
    per_product = recipe.images_per_product or class_balance.images_per_product(labels)
    small = too_small(labels, per_product)
    if sampler in ("pk", "category-pk") and small:
        progress.note(f"{small} products have fewer than {per_product} images: a batch then has all that they have")


def start_from_means(loss: nn.Module, embeddings: Tensor, labels: Tensor) -> None:
    """Set a loss's own proxies, class weights or centers (C, [K,] D) to the mean embedding of each label.

    Args:
        loss: changed in place.
        embeddings: (N, D).
        labels: (N,).
    """
    for module in loss.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name not in ("proxies", "weight", "centers") or parameter.shape[-1] != embeddings.shape[1]:
                continue
            normalize = bool(getattr(module, "normalize", False))
            rows = nn.functional.normalize(embeddings, dim=-1) if normalize else embeddings
            sums = torch.zeros(len(parameter), rows.shape[1], device=rows.device).index_add_(0, labels, rows)
            means = sums / torch.bincount(labels, minlength=len(sums)).clamp_min(1)[:, None]  # (C, D)
            if normalize:
                means = nn.functional.normalize(means, dim=-1)
            if parameter.ndim == 3:  # centers of one label must differ, or they would move as one
                noise = torch.randn_like(parameter) * _NOISE / parameter.shape[-1] ** 0.5
                means = means[:, None] + noise  # (C, K, D)
            with torch.no_grad():
                parameter.copy_(means)
