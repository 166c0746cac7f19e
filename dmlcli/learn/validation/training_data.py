"""What is learned from: features of all photos that training may open, and the part of them that one fold uses."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from dmlcli import progress
from dmlcli.catalog import Catalog, Photo, TrainingSplit
from dmlcli.embeddings import Embeddings
from dmlcli.errors import CannotRun
from dmlcli.learn.data import augmentation, class_balance, feature_cache
from dmlcli.learn.data.activation_cache import ActivationCache
from dmlcli.learn.networks import frozen
from dmlcli.learn.networks.backbone import default_pooling
from dmlcli.learn.networks.network import Network
from dmlcli.learn.networks.pretrained import Weights, resolve
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.validation.folds import Search
from dmlcli.learn.validation.scoring import Validation
from dmlcli.model import Model
from dmlcli.report.skipped import Skipped
from dmlcli.workspace import Workspace

_SHARE = 0.5  # of what is left of a budget that more views than one may take


@dataclass(frozen=True)
class Fold:
    """What one head is trained on, and what it is scored on."""

    features: Tensor  # (V, N, F), of each view
    labels: Tensor  # (N,)
    files: list[Photo]  # (N,)
    categories: list[str]  # (N,)
    sources: list[str]  # (N,)
    validation: Validation
    validation_features: Tensor  # (len(validation.rows), F), as search sees images
    validation_files: list[Photo]
    baseline: Tensor  # (len(validation.rows), P), of the plain view, pooled as published
    rows: Sequence[int] = ()  # (N,) of the training data
    maps: ActivationCache | None = None  # of the training data, at the split before the backbone's last stage

    @property
    def products(self) -> int:
        """C: how many products are fitted on."""
        return int(self.labels.max()) + 1

    @property
    def weights(self) -> Tensor:
        """Return the weight of each image in LDA (N,)."""
        return torch.tensor(class_balance.weights(self.labels.tolist(), self.sources))


@dataclass(frozen=True)
class TrainingData:
    """The features of all readable photos that training may open, row by row."""

    weights: Weights  # that training starts from
    pretrained: Network  # the backbone as published
    feature_extractor: Network  # the same, pooled as features are
    model: Model  # of the trunk
    photos: Catalog  # readable ones
    split: TrainingSplit
    views: Tensor  # (V, N, F)
    plain: Embeddings  # of the first view
    skipped: list[Skipped]
    maps: ActivationCache | None = None
    names: Sequence[str] = ()  # (V,) of the views
    uses_synthetic_queries: bool = False  # whether the last of them stand in for photos that cannot be held out

    @property
    def seen(self) -> Tensor:
        """Features (N, F) as search sees images: the mean of an image and its mirror image, where it looks at both."""
        return F.normalize(self.views[:2].sum(0), dim=-1) if self.feature_extractor.mirror else self.views[0]

    @property
    def baseline(self) -> Tensor:
        """Features (N, P) of the backbone as published: the plain view, and one pooling."""
        if self.feature_extractor.pooling not in ("avg+max", "two-maps", "two-maps+descriptor"):
            return self.views[0]
        return F.normalize(self.views[0, :, : self.pretrained.head.dim], dim=-1)

    def fold(self, rows: Sequence[int], searches: dict[str, Search]) -> Fold:
        """Return a fold that fits on some rows and is scored by some searches."""
        items = [self.photos.items[row] for row in rows]
        number = {product: label for label, product in enumerate(sorted({item.product for item in items}))}
        validation = Validation([item.product for item in self.photos.items], searches)
        return Fold(
            features=self.views[:, list(rows)],
            labels=torch.tensor([number[item.product] for item in items]),
            files=[self.photos.photo(item) for item in items],
            categories=[item.category for item in items],
            sources=[item.source for item in items],
            validation=validation,
            validation_features=self.seen[validation.rows],
            validation_files=[self.photos.photo(self.photos.items[row]) for row in validation.rows],
            baseline=self.baseline[validation.rows],
            rows=list(rows),
            maps=self.maps,
        )

    def embedded(self, head: torch.nn.Module, fingerprint: str) -> Embeddings:
        """What a head makes of all photos: embeddings that need not be computed again."""
        with torch.inference_mode():
            vectors = head(self.seen).numpy()
        return replace(self.plain, vectors=vectors, model=fingerprint)


def feature_extractor_of(recipe: Recipe) -> tuple[Weights, Network]:
    """The weights that training starts from, and the frozen backbone pooled as features are."""
    weights = weights_of(recipe)
    return weights, frozen.build(weights, recipe.seed, recipe.pooling or default_pooling(weights.backbone))


def weights_of(recipe: Recipe) -> Weights:
    """The weights that training starts from, with the recipe's way of decoding."""
    weights = resolve(recipe.backbone, recipe.weights)
    return replace(weights, image=replace(weights.image, decode=recipe.decode))


def gather(
    photos: Catalog,
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    split: Callable[[Catalog, int], TrainingSplit],
    time_budget: TimeBudget | None = None,
    needs_synthetic_queries: Callable[[Catalog, TrainingSplit, Recipe], bool] = lambda *_: False,
) -> TrainingData:
    """Features of every view of every photo, from the cache of the workspace or through the frozen backbone.

    Args:
        split: how rows are chosen to fit on and to validate with, for the photos that can be read.
        time_budget: may leave time for fewer views than the recipe asks for.
        needs_synthetic_queries: whether nothing real can be held out.
    """
    weights, feature_extractor = feature_extractor_of(recipe)
    pretrained = frozen.build(weights, recipe.seed)
    model = frozen.save(workspace.frozen, feature_extractor, weights, photos)
    forward = frozen.forward(model, feature_extractor, device)
    started = time.monotonic()
    plain = feature_cache.cached(photos, "plain", model, forward, workspace)
    seconds_a_view = time.monotonic() - started
    readable = Catalog(photos.root, plain.embeddings.items)
    names = augmentation.view_names(recipe.views, recipe.seed, recipe.augment)
    if time_budget is not None and time_budget.is_limited and plain.fresh:
        names = names[: 1 + max(0, int(time_budget.left * _SHARE / seconds_a_view))]
        if len(names) < recipe.views:
            progress.note(f"the budget has time for {len(names)} of {recipe.views} views of each photo")
    rows = split(readable, recipe.seed)
    uses_synthetic_queries = needs_synthetic_queries(readable, rows, recipe)
    names = [*names, *(augmentation.family_names(recipe.seed) if uses_synthetic_queries else [])]
    views = feature_cache.stacked(readable, names, model, forward, workspace)
    _check_finite(views, readable)
    feature_extractor.mirror = "flip" in names
    return TrainingData(
        weights=weights,
        pretrained=pretrained,
        feature_extractor=feature_extractor,
        model=model,
        photos=readable,
        split=rows,
        views=views,
        plain=plain.embeddings,
        skipped=plain.skipped,
        maps=ActivationCache(
            files=[readable.photo(item) for item in readable.items],
            digests=[state.digest for state in plain.embeddings.states],
            views=names,
            model=model,
            folder=workspace.maps,
            mirror=feature_extractor.mirror,
        ),
        names=names,
        uses_synthetic_queries=uses_synthetic_queries,
    )


def _check_finite(views: Tensor, photos: Catalog) -> None:
    """Raise CannotRun where the backbone gives no numbers for some photos: nothing can be learned from those."""
    bad = [row for row, finite in enumerate(views.isfinite().all(-1).all(0).tolist()) if not finite]
    if bad:
        raise CannotRun(
            f"the backbone gives no finite numbers for {len(bad)} of {len(photos.items)} images, the first is "
            f"{photos.items[bad[0]].path}",
            hint="are its weights whole? --backbone or --weights name others",
        )
