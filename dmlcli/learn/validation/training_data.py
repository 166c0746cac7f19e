"""The data of a training run: features of all photos that can be read, and the part of them that one fold uses.

`read_photos` finds the photos that can be read, and computes the features of their plain view; the caller splits them;
`gather` adds the features of the other views.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dmlcli import progress
from dmlcli.catalog import Catalog, Item, Photo, TrainingSplit
from dmlcli.embeddings import Embeddings
from dmlcli.errors import CannotRun
from dmlcli.learn.data import augmentation, class_balance, feature_cache
from dmlcli.learn.data.activation_cache import ActivationCache
from dmlcli.learn.networks.frozen import FrozenBackbone
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.validation.folds import Search
from dmlcli.learn.validation.scoring import Searches
from dmlcli.report.skipped import Skipped
from dmlcli.workspace import Workspace

_SHARE = 0.5  # of the rest of a time budget that further views may take
_SEVERAL_POOLINGS = ("avg+max", "two-maps", "two-maps+descriptor")  # side by side, the published one first


@dataclass(frozen=True)
class TrainPart:
    """The images of a fold that a network is fitted on."""

    rows: Sequence[int]  # (N,) in the training data
    features: Tensor  # (V, N, F), of V views
    labels: Tensor  # (N,)
    files: list[Photo]  # (N,)
    categories: list[str]  # (N,)
    sources: list[str]  # (N,)

    @property
    def products(self) -> int:
        """The number of products, C."""
        return int(self.labels.max()) + 1

    @property
    def weights(self) -> Tensor:
        """Return the weight of each image in LDA (N,)."""
        return torch.tensor(class_balance.weights(self.labels.tolist(), self.sources))


@dataclass(frozen=True)
class ValidationPart:
    """The images of a fold that a network is scored on, M of them; false where nothing is held out."""

    searches: Searches
    features: Tensor  # (M, F), as search sees images
    files: list[Photo]  # (M,); of synthetic queries none, as they are features alone
    baseline: Tensor  # (M, D), features of the backbone as published

    def __bool__(self) -> bool:
        return bool(self.searches)


@dataclass(frozen=True)
class Fold:
    """One fold of cross-validation: images to fit on, and images to score with."""

    train: TrainPart
    validation: ValidationPart
    maps: ActivationCache  # of all photos, in front of the backbone's last stage


@dataclass(frozen=True)
class ReadPhotos:
    """The photos that can be read, with the features of their plain view."""

    photos: Catalog
    plain: Embeddings
    skipped: list[Skipped]
    seconds: float  # that the features took; 0 where they were cached


@dataclass(frozen=True)
class TrainingData:
    """The features of all N photos of a training run, row by row."""

    backbone: FrozenBackbone
    photos: Catalog
    split: TrainingSplit
    view_names: Sequence[str]  # (V,)
    views: Tensor  # (V, N, F)
    plain: Embeddings  # of the first view
    skipped: list[Skipped]
    maps: ActivationCache

    @property
    def mirror(self) -> bool:
        """Whether search looks at an image and its mirror image."""
        return "flip" in self.view_names

    @property
    def uses_synthetic_queries(self) -> bool:
        """Whether the last views are queries, because no photo can be held out."""
        return any(name.startswith(tuple(augmentation.FAMILIES)) for name in self.view_names)

    @property
    def search_features(self) -> Tensor:
        """Features (N, F) as search sees images: the mean of an image and its mirror image, where it looks at both."""
        return F.normalize(self.views[:2].sum(0), dim=-1) if self.mirror else self.views[0]

    @property
    def baseline(self) -> Tensor:
        """Features (N, D) of the backbone as published: the plain view, and one pooling."""
        if self.backbone.feature_extractor.pooling not in _SEVERAL_POOLINGS:
            return self.views[0]
        return F.normalize(self.views[0, :, : self.backbone.published.head.dim], dim=-1)

    def fold(self, rows: Sequence[int], searches: dict[str, Search]) -> Fold:
        """Return a fold that fits on some rows and is scored by some searches."""
        items = self.photos.items
        scored = Searches([item.product for item in items], searches)
        validation = ValidationPart(
            searches=scored,
            features=self.search_features[scored.rows],
            files=[self.photos.photo(items[row]) for row in scored.rows],
            baseline=self.baseline[scored.rows],
        )
        return Fold(self._train_part(rows, [items[row] for row in rows]), validation, self.maps)

    def _train_part(self, rows: Sequence[int], items: Sequence[Item]) -> TrainPart:
        number = {product: label for label, product in enumerate(sorted({item.product for item in items}))}
        return TrainPart(
            rows=list(rows),
            features=self.views[:, list(rows)],
            labels=torch.tensor([number[item.product] for item in items]),
            files=[self.photos.photo(item) for item in items],
            categories=[item.category for item in items],
            sources=[item.source for item in items],
        )

    def embedded(self, head: nn.Module, fingerprint: str) -> Embeddings:
        """Return the embeddings that a head makes of all photos, as those of the model with this fingerprint."""
        with torch.inference_mode():
            vectors = head(self.search_features).numpy()
        return replace(self.plain, vectors=vectors, model=fingerprint)


def read_photos(photos: Catalog, backbone: FrozenBackbone, workspace: Workspace, device: torch.device) -> ReadPhotos:
    """Return the photos that can be read, with the features of their plain view, cached in the workspace.

    Args:
        photos: the catalog.
        backbone: computes the features.
        workspace: has the cache.
        device: on which it runs.
    """
    started = time.monotonic()
    plain = feature_cache.cached(photos, "plain", backbone.model, backbone.forward(device), workspace)
    seconds = time.monotonic() - started if plain.fresh else 0.0
    return ReadPhotos(Catalog(photos.root, plain.embeddings.items), plain.embeddings, plain.skipped, seconds)


def gather(
    readable: ReadPhotos,
    split: TrainingSplit,
    backbone: FrozenBackbone,
    recipe: Recipe,
    workspace: Workspace,
    *,
    device: torch.device,
    time_budget: TimeBudget | None = None,
    synthetic_queries: bool = False,
) -> TrainingData:
    """Return the features of every view of every photo, from the workspace's cache or computed.

    Args:
        readable: the photos.
        split: which of its rows training may use.
        backbone: computes the features.
        recipe: names the views.
        workspace: keeps the features.
        device: on which they are computed.
        time_budget: may leave time for fewer views than the recipe names.
        synthetic_queries: add views that are used as queries, because no photo can be held out.

    Raises:
        CannotRun: the backbone computes values that are not finite.
    """
    view_names = augmentation.view_names(recipe.views, recipe.seed, recipe.augment)
    if time_budget is not None and time_budget.is_limited and readable.seconds:
        affordable = 1 + max(0, int(time_budget.left * _SHARE / readable.seconds))
        if affordable < len(view_names):
            progress.note(f"the budget has time for {affordable} of {len(view_names)} views of each photo")
        view_names = view_names[:affordable]
    view_names = [*view_names, *(augmentation.family_names(recipe.seed) if synthetic_queries else [])]
    views = feature_cache.stacked(readable.photos, view_names, backbone.model, backbone.forward(device), workspace)
    _check_finite(views, readable.photos)
    maps = ActivationCache(
        files=[readable.photos.photo(item) for item in readable.photos.items],
        digests=[state.digest for state in readable.plain.states],
        views=view_names,
        model=backbone.model,
        folder=workspace.maps,
        mirror="flip" in view_names,
    )
    return TrainingData(backbone, readable.photos, split, view_names, views, readable.plain, readable.skipped, maps)


def _check_finite(views: Tensor, photos: Catalog) -> None:
    """Raise CannotRun where the features of some photos are not finite: nothing can be learned from those."""
    bad = [row for row, finite in enumerate(views.isfinite().all(-1).all(0).tolist()) if not finite]
    if bad:
        raise CannotRun(
            f"the backbone gives no finite numbers for {len(bad)} of {len(photos.items)} images, the first is "
            f"{photos.items[bad[0]].path}",
            hint="are its weights whole? --backbone or --weights name others",
        )
