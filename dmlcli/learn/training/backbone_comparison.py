"""`dmlcli compare --backbones`: frozen backbones on the same folds, each alone and with an LDA head."""

import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from dmlcli import metrics, progress
from dmlcli.catalog import Catalog, TrainingSplit, split_for_training
from dmlcli.embeddings import Forward, Vectors
from dmlcli.errors import CatalogError
from dmlcli.image import view
from dmlcli.learn.backbone_table import Asked
from dmlcli.learn.networks import frozen
from dmlcli.learn.networks.frozen import FrozenBackbone
from dmlcli.learn.networks.heads import HeadSpec
from dmlcli.learn.networks.inference import pick_device
from dmlcli.learn.networks.lda import CONSERVATIVE
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validation import training_data
from dmlcli.learn.validation.folds import ValidationSplit, describe, validation_splits
from dmlcli.learn.validation.head_selection import new_head, solve
from dmlcli.learn.validation.scoring import Searches
from dmlcli.learn.validation.training_data import Fold, TrainingData
from dmlcli.report.compare_backbones import BackboneScores, CompareBackbonesReport, Scored, recommend
from dmlcli.report.skipped import Skipped
from dmlcli.workspace import Workspace

_TIMED = 32  # photos whose embedding is timed
_FLOAT = 4  # bytes


@dataclass
class _Values:
    """Recall@1 and MAP@R of the queries of one search in all folds, and the product of each query."""

    recall: NDArray[np.float64]
    map_at_r: NDArray[np.float64]
    products: list[str]


_BySearch = dict[str, _Values]


@dataclass(frozen=True)
class _Measured:
    """One backbone, before it is compared with the first."""

    data: TrainingData
    splits: Sequence[ValidationSplit]
    untrained: _BySearch
    with_head: _BySearch
    seconds: float


def compare_backbones(
    catalog: Catalog, recipe: Recipe, workspace: Workspace, asked: Sequence[Asked], device_name: str = "auto"
) -> CompareBackbonesReport:
    """Score each backbone by cross-validation, its pooled features alone and with an LDA head.

    Args:
        catalog: the photos.
        recipe: all settings but the backbone.
        workspace: keeps the features.
        asked: the backbones; the others are compared with the first.
        device_name: computes the features, as --device; heads are solved and times measured on the CPU.

    Returns:
        A row for each, in the same order, and the one to train with.

    Raises:
        CatalogError: nothing can be held out.
        WeightsError: the weights of a backbone are not here and cannot be downloaded.
    """
    device = pick_device(device_name)
    _splits(catalog, recipe)  # fails early where the catalog has too few products
    scores: list[BackboneScores] = []
    first: _Measured | None = None
    skipped: Sequence[Skipped] = ()
    for one in progress.track(asked, "backbones"):
        chosen = replace(recipe, backbone=one.name, weights=one.weights or _published(one.name))
        try:
            measured = _measure(catalog, chosen, workspace, device)
        finally:
            shutil.rmtree(workspace.compared, ignore_errors=True)
        first, skipped = first or measured, measured.data.skipped
        scores.append(_scores(one, measured, first, recipe.dim))
    assert first is not None
    items = first.data.photos.items
    recommended, why = recommend(scores)
    return CompareBackbonesReport(
        images=len(items),
        products=len({item.product for item in items}),
        protocol=describe(first.splits, items),
        backbones=tuple(scores),
        recommended=recommended,
        why=why,
        skipped=(*catalog.skipped, *skipped),
    )


def _published(name: str) -> str:
    """Return the `--weights` that take the published weights or fail: a stand-in is not what is compared."""
    return "auto" if name == "descriptor" else "pretrained"


def _measure(catalog: Catalog, recipe: Recipe, workspace: Workspace, device: torch.device) -> _Measured:
    """Return the scores of one backbone, query by query, and the time of a thousand photos."""
    backbone = frozen.open_backbone(recipe, workspace.compared, catalog)
    readable = training_data.read_photos(catalog, backbone, workspace, device)
    split, splits = _splits(readable.photos, recipe)
    data = training_data.gather(readable, split, backbone, recipe, workspace, device=device)
    untrained, with_head = defaultdict[str, list[_Values]](list), defaultdict[str, list[_Values]](list)
    for number in splits:
        fold = data.fold(number.fit, number.searches)
        for name, values in _values(fold.validation.searches, fold.validation.features.numpy()):
            untrained[name].append(values)
        for name, values in _values(fold.validation.searches, _with_head(fold, recipe)):
            with_head[name].append(values)
    return _Measured(data, splits, _joined(untrained), _joined(with_head), _seconds(data, backbone))


def _splits(photos: Catalog, recipe: Recipe) -> tuple[TrainingSplit, list[ValidationSplit]]:
    """Return the split of a catalog and its folds; raise CatalogError where nothing can be held out."""
    split = split_for_training(photos)
    splits = validation_splits(photos.items, split, recipe.purpose, recipe.seed)
    if not splits:
        raise CatalogError(
            "compare needs photos to hold out, at least two of each of four products",
            hint="dmlcli train works with fewer products",
        )
    return split, splits


def _with_head(fold: Fold, recipe: Recipe) -> Vectors:
    """Return the embeddings (V, D) of the validation images by an LDA head that is fitted on the others."""
    head = new_head(fold, HeadSpec(recipe.head, recipe.dim))
    solve(head, fold).fill(head, CONSERVATIVE)
    with torch.no_grad():
        embeddings: Vectors = head(fold.validation.features).numpy()
    return embeddings


def _values(searches: Searches, vectors: Vectors) -> Iterator[tuple[str, _Values]]:
    for name in searches.names:
        found = metrics.score(searches.rank(name, vectors), ("recall@1", "map@r"))
        yield name, _Values(found["recall@1"], found["map@r"], searches.query_products(name))


def _joined(folds: Mapping[str, Sequence[_Values]]) -> _BySearch:
    """Return the queries of all folds, one after the other."""
    return {
        name: _Values(
            np.concatenate([one.recall for one in values]),
            np.concatenate([one.map_at_r for one in values]),
            [product for one in values for product in one.products],
        )
        for name, values in folds.items()
    }


def _seconds(data: TrainingData, backbone: FrozenBackbone) -> float:
    """Return the CPU seconds of a thousand photos: reading them, and their way through the network."""
    items = data.photos.items[:: max(1, len(data.photos.items) // _TIMED)][:_TIMED]
    forward: Forward = backbone.forward(torch.device("cpu"))
    started = time.process_time()
    pixels = np.stack([view(data.photos.photo(item).read_bytes(), backbone.model.record.image) for item in items])
    read = time.process_time()
    forward(pixels)
    passes = 2 if data.mirror else 1
    return (read - started + passes * (time.process_time() - read)) * 1000 / len(items)


def _scores(asked: Asked, own: _Measured, first: _Measured, dim: int) -> BackboneScores:
    features = own.data.views.shape[-1]
    return BackboneScores(
        name=asked.name,
        weights=own.data.backbone.weights.source,
        weights_are_a_file=bool(asked.weights),
        untrained=_scored(own.untrained, first.untrained),
        with_head=_scored(own.with_head, first.with_head),
        seconds_a_thousand=own.seconds,
        megabytes_a_thousand=features * _FLOAT / 1000,
        head_megabytes_a_thousand=dim * _FLOAT / 1000,
    )


def _scored(own: _BySearch, first: _BySearch) -> dict[str, Scored]:
    found = {}
    for name, values in own.items():
        gain = values.map_at_r - first[name].map_at_r
        found[name] = Scored(
            recall_at_1=metrics.mean(values.recall) or 0.0,
            map_at_r=metrics.mean(values.map_at_r) or 0.0,
            interval95=metrics.interval95(values.map_at_r, values.products),
            gain=metrics.mean(gain) or 0.0,
            gain_interval95=metrics.interval95(gain, values.products),
        )
    return found
