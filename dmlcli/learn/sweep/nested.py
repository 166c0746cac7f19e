"""Nested validation: the search scores recipes by folds of one part of the photos; the other part scores the result.

What the search never sees is half of the products, and of the other products the photos that `compare` holds out, too.
The result is trained on the rest as `train --tune head` does it, so that its score says what `train --recipe` will do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from dmlcli import metrics
from dmlcli.catalog import Item, TrainingSplit
from dmlcli.embeddings import Vectors
from dmlcli.errors import CatalogError
from dmlcli.held_out_scores import ALL, METRICS, score_difference
from dmlcli.learn.networks.heads import BlendHead, HeadSpec
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.sweep.poolings import with_pooling
from dmlcli.learn.training import refit
from dmlcli.learn.training.candidate import FROZEN, frozen_candidate, select
from dmlcli.learn.training.epochs import GradientTraining
from dmlcli.learn.validation.folds import Search, ValidationSplit, half_split, validation_splits
from dmlcli.learn.validation.head_selection import FoldScores, initial_network, new_head, solve
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.learn.validation.scoring import Searches
from dmlcli.learn.validation.training_data import Fold, TrainingData
from dmlcli.metrics import Values
from dmlcli.report.models_diff import ScoreDifference

Report = Callable[[int, float], None]
_CPU = torch.device("cpu")  # heads are trained on it
_LEAST_PRODUCTS = 4  # with photos for validation, in each part
_OF_EPOCHS = 0.01  # share of the best epoch in a score, where training keeps another candidate
_KINDS = {"layernorm": "layernorm"}  # heads whose LDA head is their own; the others start from the linear one


@dataclass(frozen=True)
class HeldOutResult:
    """What a recipe makes of the photos that the search never sees."""

    origin: str  # the candidate that training keeps
    scores: dict[str, dict[str, Values]]  # of each query, by search and metric


class NestedFolds:
    """The two parts of the photos, and how recipes score on each.

    Attributes:
        outer: the rows that the search may use, and the searches that score its result.
        searches: the same searches.
    """

    def __init__(self, data: TrainingData, base: Recipe, dim: int, folder: Path | None = None) -> None:
        """Draw the parts.

        Args:
            data: all photos.
            base: the recipe that others are variants of; their LDA heads are selected with its dimension.
            dim: the largest dimension that is tried.
            folder: keeps the scores of LDA heads; None: nowhere.

        Raises:
            CatalogError: too few products.
        """
        items = data.photos.items
        self.outer, given = _shared(items, data.split, half_split(items, data.split, base.seed))
        self.searches = Searches([item.product for item in items], self.outer.searches)
        self._all = replace(data, split=TrainingSplit(self.outer.fit, given))
        self.inner = splits = validation_splits(items, self._all.split, base.purpose, base.seed)
        if data.uses_synthetic_queries or not splits or (base.purpose == "both" and "unseen" not in splits[0].searches):
            raise CatalogError(
                "sweep holds photos out twice, which needs at least 16 products with two images each",
                hint="dmlcli train works with fewer products",
            )
        self._base, self._dim, self._folder = base, dim, folder
        self._pooled: tuple[str | None, TrainingData, list[Fold]] | None = None  # the last one; all would fill memory
        self._plans: dict[str, ValidationPlan] = {}  # without their folds
        self._heads: dict[tuple[str, int], BlendHead] = {}  # LDA heads of the largest dimension, by features and fold

    def score(self, recipe: Recipe, report: Report = lambda step, gain: None) -> float:
        """Return the score of a recipe over the folds: the mean over them of the candidate that training keeps.

        Where that is the LDA head, recipes would be equal: so a hundredth is the score of the best epoch.

        Args:
            recipe: all settings.
            report: is given the number of epochs that could have been trained so far, and by how much the score until
                then is above that of the frozen backbone; it may raise an exception to stop the training.

        Raises:
            TrainingError: training diverges.
            UsageError: settings of the loss do not go together.
        """
        plan, recipe = self._plan(recipe), replace(recipe, tune="head")
        scores: list[float] = []
        gains: list[float] = []
        for number, fold in enumerate(plan.folds):
            torch.manual_seed(recipe.seed)
            head = self._lda_head(recipe, plan, number)
            own = _of_fold(plan, number, _scores(head, fold))
            frozen, best_epoch = frozen_candidate(own).score or 0.0, 0.0
            training = GradientTraining(self._network(head), own, recipe, _CPU)
            value = training.best.score or 0.0
            for scored in training.epochs():
                best_epoch = max(best_epoch, scored.candidate.score or 0.0)
                value = (1 - _OF_EPOCHS) * (training.best.score or 0.0) + _OF_EPOCHS * best_epoch
                report(number * recipe.epochs + scored.epoch.number, float(np.mean([*gains, value - frozen])))
            scores.append(value)
            gains.append(value - frozen)
        return float(np.mean(scores))

    def assess(self, recipe: Recipe) -> HeldOutResult:
        """Train by a recipe on all photos that the search may use, and score the result on the others."""
        recipe, (data, _) = replace(recipe, tune="head"), self._data(recipe)
        is_exact = recipe.dim == self._base.dim and _KINDS.get(recipe.head) == _KINDS.get(self._base.head)
        plan = self._plan(recipe) if is_exact else make_plan(data, recipe)
        torch.manual_seed(recipe.seed)
        network = initial_network(data, plan.folds[0], plan.head_params, plan.head_spec)
        training = GradientTraining(network, plan, recipe, _CPU)
        for _ in training.epochs():
            pass
        best, frozen = select(plan, training.best)
        if not best.beats(frozen):
            return self.frozen()
        head = refit.finish(data, plan, best, recipe, _CPU).head
        with torch.no_grad():
            return self._result(best.origin, head(data.search_features[self.searches.rows]).numpy())

    def frozen(self) -> HeldOutResult:
        """Return the scores of the frozen backbone as published."""
        return self._result(FROZEN, self._all.baseline[self.searches.rows].numpy())

    def difference(self, one: HeldOutResult, other: HeldOutResult) -> list[ScoreDifference]:
        """Return the scores of two results with paired 95 % intervals: of each search, and of all together."""
        products = {name: self.searches.query_products(name) for name in self.searches.names}
        groups = {name: [name] for name in products} | ({ALL: list(products)} if len(products) > 1 else {})
        rows = []
        for group, names in groups.items():
            for metric in METRICS:
                these, those = (np.concatenate([of.scores[name][metric] for name in names]) for of in (one, other))
                own = [product for name in names for product in products[name]]
                rows.append(score_difference(group, metric, (these, those), own))
        return rows

    def _result(self, origin: str, vectors: Vectors) -> HeldOutResult:
        names = self.searches.names
        return HeldOutResult(
            origin, {name: metrics.score(self.searches.rank(name, vectors), METRICS) for name in names}
        )

    def _data(self, recipe: Recipe) -> tuple[TrainingData, list[Fold]]:
        """Return the photos that the search may use with the features of a recipe's pooling, and the folds."""
        if self._pooled is None or self._pooled[0] != recipe.pooling:
            data = with_pooling(self._all, recipe.pooling)
            self._pooled = recipe.pooling, data, [data.fold(one.fit, one.searches) for one in self.inner]
        return self._pooled[1:]

    def _plan(self, recipe: Recipe) -> ValidationPlan:
        """Return the folds of a recipe, with the hyperparameters of the LDA head that suit its features."""
        (data, folds), key = self._data(recipe), recipe.pooling or "default"
        if key not in self._plans:
            kept = FoldScores(self._folder / f"{key}.json" if self._folder else None)
            asked = replace(recipe, head=_KINDS.get(self._base.head, "linear"), dim=self._base.dim)
            self._plans[key] = replace(make_plan(data, asked, kept), folds=[])
        return replace(self._plans[key], folds=folds, head_spec=HeadSpec(recipe.head, recipe.dim))

    def _lda_head(self, recipe: Recipe, plan: ValidationPlan, number: int) -> BlendHead:
        """Return the LDA head of a recipe in one fold: the strongest directions of the largest one."""
        fold, kind = plan.folds[number], _KINDS.get(recipe.head, "linear")
        key = f"{recipe.pooling} {kind}", number
        if key not in self._heads:
            largest = new_head(fold, HeadSpec(kind, self._dim))
            solve(largest, fold).fill(largest, plan.head_params)
            self._heads[key] = largest
        return _cut(self._heads[key], new_head(fold, plan.head_spec), fold)

    def _network(self, head: BlendHead) -> Network:
        """Return the frozen backbone with a head."""
        extractor = self._all.backbone.feature_extractor
        return Network(extractor.backbone, head, extractor.image, pooling=extractor.pooling, mirror=self._all.mirror)


def _shared(items: Sequence[Item], split: TrainingSplit, outer: ValidationSplit) -> tuple[ValidationSplit, list[int]]:
    """Return the outer part without the photos that the search validates with, and these photos.

    Where a catalog has photos for validation (split val), those of every second product of the search go to it: other
    photos that it could hold out are often of the same series as those that are fitted on, and say less.

    Args:
        items: the images.
        split: of the whole catalog.
        outer: half of the products.
    """
    fitted = {items[row].product for row in outer.fit}
    given = [row for row in split.validation if items[row].product in fitted]
    products = sorted({items[row].product for row in given})
    if len(products) < 2 * _LEAST_PRODUCTS or "seen" not in outer.searches:
        return outer, []
    own = {*products[::2]}
    seen = outer.searches["seen"]
    left = [row for row in seen.queries if items[row].product not in own]
    searches = {**outer.searches, "seen": Search(left, seen.gallery)}
    return replace(outer, searches=searches), [row for row in given if items[row].product in own]


def _cut(largest: BlendHead, head: BlendHead, fold: Fold) -> BlendHead:
    """Set a head, which may be smaller and of another kind, by the strongest directions of an LDA head."""
    layers = ((largest.whitened, head.whitened), (largest.discriminative.linear, head.discriminative.linear))
    features, labels = fold.train.features.flatten(0, 1), fold.train.labels.repeat(len(fold.train.features))
    with torch.no_grad():
        for of, layer in layers:
            layer.weight.copy_(of.weight[: layer.out_features])
            layer.bias.copy_(of.bias[: layer.out_features])
        linear, seen = head.discriminative.linear, head.before(features)
        if linear.out_features < largest.discriminative.linear.out_features:
            length = linear(seen).norm(dim=-1).mean().clamp_min(1e-12)  # about 1, as ShrinkageLDA leaves it
            linear.weight.div_(length)
            linear.bias.div_(length)
        head.blend.copy_(largest.blend)
        head.prototype_attention.copy_(largest.prototype_attention)
    if len(head.prototypes):
        head.set_prototypes(features, labels)
    return head


@torch.no_grad()
def _scores(head: BlendHead, fold: Fold) -> dict[str, float]:
    return fold.validation.searches.scores(head(fold.validation.features).numpy())


def _of_fold(plan: ValidationPlan, number: int, lda_scores: dict[str, float]) -> ValidationPlan:
    """Return the plan of one fold alone, with the scores of its LDA head."""
    only = slice(number, number + 1)
    return replace(
        plan,
        folds=plan.folds[only],
        frozen_scores=plan.frozen_scores[only],
        lda_scores=[lda_scores],
        pooled_scores=plan.pooled_scores[only],
    )
