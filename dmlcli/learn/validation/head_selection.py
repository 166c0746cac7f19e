"""Select the hyperparameters of the LDA head: all are tried in every fold, and the best over all folds is used."""

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dmlcli import progress, storage
from dmlcli.learn.networks.heads import BlendHead, HeadSpec, IdentityHead
from dmlcli.learn.networks.lda import CONSERVATIVE, HEAD_PARAMS, HeadParams, ShrinkageLDA, split_dim
from dmlcli.learn.networks.network import Network
from dmlcli.learn.validation.open_set import OpenSetThreshold
from dmlcli.learn.validation.scoring import geometric_mean
from dmlcli.learn.validation.training_data import Fold, TrainingData
from dmlcli.storage import records

_MOST_PROTOTYPES = 20_000  # products; the means of more would weigh more than the backbone


class HeadChoice(NamedTuple):
    """A setting, and what the folds say of it."""

    head_params: HeadParams
    scores: list[dict[str, float]]  # in each, search by search
    open_set: list[float]  # how close unseen products come, in each that holds some out


def new_head(fold: Fold, spec: HeadSpec) -> BlendHead:
    """Return a head for the products of a fold, not yet set."""
    prototypes = fold.train.products if fold.train.products <= _MOST_PROTOTYPES else 0
    dims = split_dim(spec.dim, fold.train.products)
    return BlendHead(fold.train.features.shape[-1], *dims, discriminative=spec.kind, products=prototypes).eval()


def solve(head: BlendHead, fold: Fold) -> ShrinkageLDA:
    """Return the LDA problem of a fold: all views of all its images."""
    with torch.no_grad():
        views = len(fold.train.features)
        seen = head.before(fold.train.features.flatten(0, 1))
        return ShrinkageLDA(seen, fold.train.labels.repeat(views), fold.train.weights.repeat(views))


def initial_network(data: TrainingData, fold: Fold, head_params: HeadParams, spec: HeadSpec) -> Network:
    """Return the frozen backbone with a head for a fold, set by LDA.

    Args:
        data: has the backbone.
        fold: what the head is fitted on.
        head_params: of the LDA head.
        spec: kind and dimension of the head.
    """
    feature_extractor = data.backbone.feature_extractor
    head = IdentityHead(data.views.shape[-1]) if spec.kind == "identity" else new_head(fold, spec)
    if isinstance(head, BlendHead):
        solve(head, fold).fill(head, head_params)
    return Network(
        feature_extractor.backbone,
        head,
        feature_extractor.image,
        pooling=feature_extractor.pooling,
        mirror=data.mirror,
    ).eval()


class HeadScores(NamedTuple):
    """One setting in one fold."""

    head_params: HeadParams
    scores: dict[str, float]  # MAP@R, search by search
    closest: float | None  # how close unseen products come; None where none are held out


class FoldScores:
    """The scores of the folds that are done, kept in a file for a run that is resumed.

    A file that is damaged or of another run's searches is computed again.
    """

    def __init__(self, file: Path | None = None) -> None:
        """`file`: None where nothing is to be kept."""
        self._file = file
        self._done: list[list[HeadScores]] = []
        if file is not None and file.exists():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                self._done = [[_read_head_scores(row) for row in fold] for fold in records.read_object(file)["folds"]]

    def get_or_compute(
        self, number: int, names: Sequence[str], compute: Callable[[], list[HeadScores]]
    ) -> list[HeadScores]:
        """Return the scores of one fold, as kept or else as `compute` finds them.

        Args:
            number: of the fold, from 0.
            names: of its searches.
            compute: tries every setting.
        """
        kept = self._done[number] if number < len(self._done) else []
        if not kept or any([*one.scores] != [*names] for one in kept):
            self._done = [*self._done[:number], compute()]
            if self._file is not None:
                fold_scores = [
                    [[list(astuple(one.head_params)), one.scores, one.closest] for one in fold] for fold in self._done
                ]
                storage.write_json(self._file, {"folds": fold_scores})
        return self._done[number]


@torch.no_grad()
def choose(
    folds: Sequence[Fold], spec: HeadSpec, frozen: Sequence[dict[str, float]], fold_scores: FoldScores | None = None
) -> HeadChoice:
    """Return the setting with the best score over all folds.

    Settings are compared by the geometric mean of their scores, so that no search outweighs another. One that is below
    the frozen backbone in either search is chosen only where all are; the caller then keeps the frozen backbone, unless
    gradient training finds something better.

    Args:
        folds: of cross-validation.
        spec: kind and dimension of the head.
        frozen: scores of the frozen backbone in each fold.
        fold_scores: keeps the scores of finished folds.
    """
    if not folds:
        return HeadChoice(CONSERVATIVE, [], [])
    fold_scores = fold_scores or FoldScores()
    tried: dict[HeadParams, list[dict[str, float]]] = defaultdict(list)
    closest: dict[HeadParams, list[float]] = defaultdict(list)
    for number, fold in enumerate(progress.track(folds, "folds")):
        for one in fold_scores.get_or_compute(number, fold.validation.searches.names, partial(_try_all, fold, spec)):
            tried[one.head_params].append(one.scores)
            if one.closest is not None:
                closest[one.head_params].append(one.closest)
    floor = mean(frozen)
    harmless = [one for one in tried if all(score >= floor[name] for name, score in mean(tried[one]).items())]
    best = max(
        harmless or tried, key=lambda one: geometric_mean(score for found in tried[one] for score in found.values())
    )
    return HeadChoice(best, tried[best], closest[best])


def _try_all(fold: Fold, spec: HeadSpec) -> list[HeadScores]:
    """Return every setting, tried in one fold."""
    found = []
    head = new_head(fold, spec)
    solved = solve(head, fold)
    solved.fill_whitened(head)
    seen = head.before(fold.validation.features)
    whitened = head.whitened(seen)
    open_set = OpenSetThreshold(fold)
    gallery = head.before(open_set.gallery) if open_set else seen[:0]
    gallery_whitened = head.whitened(gallery)
    for shrinkage, grid in groupby(HEAD_PARAMS, key=lambda head_params: head_params.shrinkage):
        solved.fill_discriminative(head, shrinkage)
        discriminative, gallery_discriminative = head.discriminative(seen), head.discriminative(gallery)
        for head_params in grid:
            if len(head.prototypes) or not head_params.prototype_attention:
                head.blend, head.prototype_attention = (
                    torch.tensor(head_params.blend),
                    torch.tensor(head_params.prototype_attention),
                )
                joined = head.joined(whitened, discriminative)
                scores, closest = fold.validation.searches.scores(joined.numpy()), None
                if open_set:
                    closest = open_set.threshold(joined, head.joined(gallery_whitened, gallery_discriminative))
                found.append(HeadScores(head_params, scores, closest))
    return found


def _read_head_scores(row: list[Any]) -> HeadScores:
    """Return a line of folds.json; raises ValueError or TypeError where it is not one."""
    head_params, scores, closest = row
    found = HeadScores(
        HeadParams(*map(float, head_params)), {str(name): float(score) for name, score in scores.items()}, closest
    )
    if found.head_params not in HEAD_PARAMS or not (closest is None or isinstance(closest, float)):
        raise ValueError("a value that dmlcli did not write")
    return found


def mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each search over several folds."""
    names = dict.fromkeys(name for found in scores for name in found)
    return {name: float(np.mean([found[name] for found in scores if name in found])) for name in names}
