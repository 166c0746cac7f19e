"""What cross-validation found: how training is scored, and which LDA head suits the photos."""

from dataclasses import dataclass

import torch

from dmlcli.learn.networks.heads import HeadSpec
from dmlcli.learn.networks.lda import CONSERVATIVE, HeadParams
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.folds import describe, validation_splits
from dmlcli.learn.validation.head_selection import FoldScores, HeadChoice, choose, new_head, solve
from dmlcli.learn.validation.training_data import Fold, TrainingData


@dataclass(frozen=True)
class ValidationPlan:
    """What the folds found: how training is scored, and which LDA head suits the photos.

    Ten fields, because it carries the scores of all candidates that are known before gradient training.
    """

    folds: list[Fold]  # where nothing can be held out: one of all photos, without validation
    summary: str
    head_spec: HeadSpec
    head_params: HeadParams
    frozen_scores: list[dict[str, float]]  # MAP@R of each search in each fold
    lda_scores: list[dict[str, float]]
    pooled_scores: list[dict[str, float]]  # of the frozen backbone with all its poolings, without a head
    open_set: list[float]  # cosine that 95 % of the photos of held-out products stay below, of each fold that has some
    images: int  # that the final fit uses
    lda_only: bool = False  # whether the searches say too little to trust gradient steps by them

    @property
    def images_again(self) -> int:
        """The number of images of an epoch in the final fit; 0 where the first fold was fitted on all of them."""
        return self.images if self.images > len(self.folds[0].train.labels) else 0


def make_plan(data: TrainingData, recipe: Recipe, fold_scores: FoldScores | None = None) -> ValidationPlan:
    """Cross-validate the LDA head and select its hyperparameters.

    Args:
        data: all photos with their features.
        recipe: all settings.
        fold_scores: keeps the scores of finished folds.
    """
    items, spec = data.photos.items, HeadSpec(recipe.head, recipe.dim)
    made = validation_splits(items, data.split, recipe.purpose, recipe.seed)
    folds = [data.fold(validation_split.fit, validation_split.searches) for validation_split in made]
    summary = describe(made, items)
    if data.uses_synthetic_queries:
        folds, summary = synthetic_queries.folds(data, recipe), synthetic_queries.SUMMARY
    frozen = [fold.validation.searches.scores(fold.validation.baseline.numpy()) for fold in folds]
    one_sided = recipe.purpose == "both" and not any("unseen" in fold.validation.searches.names for fold in folds)
    pooled = [fold.validation.searches.scores(fold.validation.features.numpy()) for fold in folds]
    if spec.kind == "identity":
        choice = HeadChoice(CONSERVATIVE, [], [])
    elif folds and one_sided:
        choice = HeadChoice(CONSERVATIVE, [_scores(fold, CONSERVATIVE, spec) for fold in folds], [])
        summary += "; too few products to hold any out: the most conservative setting"
    else:
        choice = choose(folds, spec, frozen, fold_scores)
    if not folds:
        folds = [data.fold(data.split.fit, {})]
    lda_only = one_sided or data.uses_synthetic_queries
    return ValidationPlan(
        folds,
        summary,
        spec,
        choice.head_params,
        frozen,
        choice.scores,
        pooled,
        choice.open_set,
        len(data.split.fit),
        lda_only,
    )


@torch.no_grad()
def _scores(fold: Fold, head_params: HeadParams, spec: HeadSpec) -> dict[str, float]:
    """Return the scores of one LDA head in a fold."""
    head = new_head(fold, spec)
    solve(head, fold).fill(head, head_params)
    return fold.validation.searches.scores(head(fold.validation.features).numpy())
