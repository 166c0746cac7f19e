"""The pretrained backbone as a model of its own: baseline, search without training, and source of features."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dmlcli import model
from dmlcli.catalog import Catalog
from dmlcli.embeddings import Forward
from dmlcli.errors import CatalogError, ImageError, ModelError
from dmlcli.image import Pixels, view
from dmlcli.learn.networks import inference, onnx_export
from dmlcli.learn.networks.backbone import build_backbone, default_pooling, feature_dim
from dmlcli.learn.networks.heads import IdentityHead
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import DESCRIPTOR, Weights, resolve
from dmlcli.learn.recipe import Recipe
from dmlcli.model import Model, ModelRecord, open_model
from dmlcli.onnx_runtime import open_graph

_SAMPLES = 8  # images on which an inference graph is compared with its network


@dataclass(frozen=True)
class FrozenBackbone:
    """The backbone that training starts from, never changed: what trained networks are compared with."""

    weights: Weights
    published: Network  # pooled as its authors do: the baseline
    feature_extractor: Network  # pooled as the recipe says: the features that heads are trained on
    model: Model  # the feature extractor, saved as a model folder

    def forward(self, device: torch.device) -> Forward:
        """Return the function from pixels to features."""
        return forward(self.model, self.feature_extractor, device)


def open_backbone(recipe: Recipe, folder: Path, photos: Catalog) -> FrozenBackbone:
    """Build the frozen backbone of a recipe, and save its feature extractor as a model unless it is there already.

    Args:
        recipe: names the backbone, its weights and pooling.
        folder: of the model.
        photos: a few of them check the inference graph.

    Raises:
        CatalogError: no photo can be read.
    """
    weights, feature_extractor = build_feature_extractor(recipe)
    published = build(weights, recipe.seed)
    return FrozenBackbone(weights, published, feature_extractor, save(folder, feature_extractor, weights, photos))


def build_feature_extractor(recipe: Recipe) -> tuple[Weights, Network]:
    """Return the weights that training starts from, and the frozen backbone pooled as features are."""
    weights = weights_of(recipe)
    return weights, build(weights, recipe.seed, recipe.pooling or default_pooling(weights.backbone))


def weights_of(recipe: Recipe) -> Weights:
    """Return the weights that training starts from, decoding images as the recipe says."""
    weights = resolve(recipe.backbone, recipe.weights)
    return replace(weights, image=replace(weights.image, decode=recipe.decode))


def build(weights: Weights, seed: int = 0, pooling: str | None = None) -> Network:
    """Return the network of a frozen backbone: its features are its embeddings.

    Args:
        weights: of the backbone.
        seed: of random weights; unused if weights are loaded.
        pooling: None: as published.
    """
    torch.manual_seed(seed)
    backbone = build_backbone(weights, pooling)
    head = IdentityHead(feature_dim(backbone, weights.image))
    return Network(backbone, head, weights.image, pooling=pooling).eval()


def build_search_network(weights: Weights, seed: int = 0, pooling: str | None = None) -> Network:
    """Return the network of a search without training: the richest pooling, of the image and its mirror image.

    The descriptor sees the image alone: on the sample catalog its mirror image lowers Recall@1 from 79 to 77 %.

    Args:
        weights: of the backbone.
        seed: of random weights; unused if weights are loaded.
        pooling: None: the richest that the backbone supports.
    """
    network = build(weights, seed, pooling or default_pooling(weights.backbone))
    network.mirror = weights.backbone != DESCRIPTOR
    return network


def fingerprint(frozen: Network, weights: Weights) -> str:
    """Return what identifies the features of this backbone with these weights."""
    arrays = {name: value.numpy() for name, value in frozen.state_dict().items()}
    return model.fingerprint(arrays, onnx_export.shape(frozen, record(weights)), weights.image)


def forward(saved: Model, frozen: Network, device: torch.device) -> Forward:
    """Return the function from pixels to features; on a CPU it is the inference graph that search uses.

    Args:
        saved: the feature extractor as a model.
        frozen: the feature extractor.
        device: on which it runs.
    """
    if device.type != "cpu":
        return inference.forward_of(frozen, device)
    return open_graph(saved.graph) if saved.graph is not None else inference.open_network(saved)


def save(
    folder: Path, frozen: Network, weights: Weights, photos: Catalog, *, asked_for: str = "", known: Path | None = None
) -> Model:
    """Save the frozen backbone as a model, unless the very same one is in `folder` or in `known` already.

    Args:
        folder: of the model.
        frozen: the network.
        weights: where it started from.
        photos: a few of them check the inference graph.
        asked_for: the requested backbone, where `weights` are those of the descriptor in its place.
        known: another folder that may hold the model.

    Returns:
        The opened model.

    Raises:
        CatalogError: no photo can be read.
    """
    expected = fingerprint(frozen, weights)
    for place in (folder, known):
        try:
            if place is not None and (found := open_model(place)).record.fingerprint == expected:
                return found
        except ModelError:
            continue
    made = replace(record(weights), recipe={"backbone": asked_for} if asked_for else {})
    return onnx_export.save(folder, frozen, made, samples(photos, weights))


def record(weights: Weights) -> ModelRecord:
    """Return the part of a model's record that its weights determine."""
    return ModelRecord(
        fingerprint="",
        backbone=weights.backbone,
        head={},
        dim=0,
        image=weights.image,
        weights_from=weights.source,
        caution=weights.caution,
    )


def samples(photos: Catalog, weights: Weights) -> Pixels:
    """Return a few views (B, 3, H, W) of real images; raises CatalogError where not one can be read."""
    views = []
    step = max(1, len(photos.items) // (2 * _SAMPLES))
    for item in [*photos.items[::step], *photos.items]:
        try:
            views.append(view(photos.photo(item).read_bytes(), weights.image))
        except ImageError:
            continue
        if len(views) == _SAMPLES:
            break
    if not views:
        raise CatalogError(f"not one of the {len(photos.items)} images in {photos.root} can be read")
    return np.stack(views)
