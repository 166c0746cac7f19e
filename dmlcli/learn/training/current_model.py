"""The current model, scored in the folds of a new one, where the catalog has changed since it was trained.

It was fitted on photos that these folds hold out. So it is fitted again in each fold, with its own settings, on those
photos of the fold that it was fitted on: neither model has seen the photos that score them. A photo keeps the product
that the current model was fitted with. An LDA head is solved again from cached features, in seconds; what gradients
have trained would have to be trained again, and is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from dmlcli import fitted_photos, progress
from dmlcli.held_out_scores import HeldOutSearch
from dmlcli.learn.data import augmentation
from dmlcli.learn.networks.heads import HeadSpec
from dmlcli.learn.networks.lda import CONSERVATIVE, HEAD_PARAMS
from dmlcli.learn.training.answer_fit import held_out_searches, query_scores_of
from dmlcli.learn.training.candidate import FROZEN, POOLED, Candidate
from dmlcli.learn.validation.head_selection import new_head, solve
from dmlcli.learn.validation.plan import ValidationPlan
from dmlcli.learn.validation.training_data import Fold, TrainingData
from dmlcli.model import Model, feature_difference
from dmlcli.types import Vectors

_MOST_GONE = 0.1  # share of its photos without which the current model would be another one
_LDA = {str(head_params): head_params for head_params in (*HEAD_PARAMS, CONSERVATIVE)}


@dataclass(frozen=True)
class CurrentScores:
    """The current model in the folds of a new one."""

    searches: Sequence[HeldOutSearch] = ()
    gone: int = 0  # photos that it was fitted on and that the catalog no longer has
    why_not: str = ""  # why it cannot be scored


@torch.no_grad()
def score_current(current: Model, data: TrainingData, plan: ValidationPlan, best: Candidate) -> CurrentScores:
    """Return the scores of the current model in the folds in which the new one was scored.

    Args:
        current: the current model.
        data: all photos, with the features that the new model was fitted on.
        plan: the folds.
        best: the candidate of the new model.
    """
    chosen = current.record.scores.get("chosen", POOLED if current.record.pooling else FROZEN)
    if why_not := _why_not(current, data, chosen):
        return CurrentScores(why_not=why_not)
    folds = plan.folds[:1] if best.epochs else plan.folds
    if chosen in (FROZEN, POOLED):
        pooled = data.search_features if current.record.mirror else data.views[0]
        vectors = (data.baseline if chosen == FROZEN else pooled).numpy()
        return CurrentScores([one for fold in folds for one in _searches(data, fold, vectors)])
    fitted = _products(fitted_photos.read(current.folder))
    gone = len(fitted.keys() - {state.digest for state in data.plain.states})
    if not fitted:
        return CurrentScores(why_not="the photos that it was fitted on are not known")
    if gone > _MOST_GONE * len(fitted):
        return CurrentScores(gone=gone, why_not=f"{gone} of the {len(fitted)} photos that it was fitted on are gone")
    own = _with_products(data, fitted)
    recipe = current.record.recipe
    spec, searches = HeadSpec(recipe["head"], recipe["dim"]), []
    for fold in progress.track(folds, "current model, folds"):
        rows = [row for row in fold.train.rows if data.plain.states[row].digest in fitted]
        again = own.fold(rows, {})
        if len(rows) == 0 or again.train.products < 2:
            return CurrentScores(why_not="too few of the photos that it was fitted on are left")
        head = new_head(again, spec)
        solve(head, again).fill(head, _LDA[chosen])
        searches += _searches(data, fold, head(data.search_features).numpy())
    return CurrentScores(searches, gone)


def _why_not(current: Model, data: TrainingData, chosen: str) -> str:
    """Return why the current model cannot be fitted again from the features of the new one; "" if it can."""
    record = current.record
    difference = feature_difference(current, data.backbone.model, pooling=chosen != FROZEN)
    if difference or chosen == FROZEN:
        return difference
    if record.mirror and not data.mirror:
        return "it also looks at mirrored photos, whose features are not cached"
    if chosen == POOLED:
        return ""
    if chosen not in _LDA:
        return "its head was trained by gradients, so fitting it again would take as long as training"
    names = augmentation.view_names(*(record.recipe[key] for key in ("views", "seed", "augment")))
    return "" if names == list(data.view_names) else "it was fitted on other views of the photos"


def _products(photos: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    """Return the products of each digest: one, unless a photo was listed for several."""
    found: dict[str, set[str]] = {}
    for product, digests in photos.items():
        for digest in digests:
            found.setdefault(digest, set()).add(product)
    return found


def _with_products(data: TrainingData, fitted: Mapping[str, set[str]]) -> TrainingData:
    """Return the data with the products that the current model was fitted with."""
    items = []
    for item, state in zip(data.photos.items, data.plain.states, strict=True):
        products = fitted.get(state.digest, {item.product})
        items.append(item if item.product in products else item._replace(product=min(products)))
    return replace(data, photos=replace(data.photos, items=items))


def _searches(data: TrainingData, fold: Fold, vectors: Vectors) -> list[HeldOutSearch]:
    """Return the scores of each query of a fold, from the embeddings (N, D) of all photos."""
    return held_out_searches(data, fold, query_scores_of(fold, vectors))
