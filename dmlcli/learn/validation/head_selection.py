"""Which closed form suits these photos: every setting is tried in every rehearsal, the best on the whole is taken."""

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
from dmlcli.learn.networks.heads import BlendHead, IdentityHead
from dmlcli.learn.networks.lda import CAREFUL, SETTINGS, ClosedForm, Setting, split_dim
from dmlcli.learn.networks.network import Network
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validation.open_set import Strangers
from dmlcli.learn.validation.scoring import together
from dmlcli.learn.validation.training_data import Lesson, Material
from dmlcli.storage import records

_MOST_RECALLED = 20_000  # products; the means of more would weigh more than the backbone


class Choice(NamedTuple):
    """A setting, and what the rehearsals say of it."""

    setting: Setting
    scores: list[dict[str, float]]  # in each, search by search
    strangers: list[float]  # how close new products come, in each that holds some out


def new_head(lesson: Lesson, recipe: Recipe) -> BlendHead:
    """A head for the products of a lesson, not yet set."""
    recalled = lesson.products if lesson.products <= _MOST_RECALLED else 0
    dims = split_dim(recipe.dim, lesson.products)
    return BlendHead(lesson.features.shape[-1], *dims, tuned=recipe.head, products=recalled).eval()


def solve(head: BlendHead, lesson: Lesson) -> ClosedForm:
    """The closed form of a lesson: all views of all its images."""
    with torch.no_grad():
        views = len(lesson.features)
        seen = head.before(lesson.features.flatten(0, 1))
        return ClosedForm(seen, lesson.labels.repeat(views), lesson.weights.repeat(views))


def initial_network(material: Material, lesson: Lesson, setting: Setting, recipe: Recipe) -> Network:
    """The frozen backbone with a head for a lesson, set by its closed form."""
    trunk = material.trunk
    head = IdentityHead(material.views.shape[-1]) if recipe.head == "identity" else new_head(lesson, recipe)
    if isinstance(head, BlendHead):
        solve(head, lesson).fill(head, setting)
    return Network(trunk.backbone, head, trunk.image, pooling=trunk.pooling, mirror=trunk.mirror).eval()


class Tried(NamedTuple):
    """One setting in one lesson."""

    setting: Setting
    scores: dict[str, float]  # MAP@R, search by search
    closest: float | None  # how close new products come; None where none are held out


class Folds:
    """The scores of the folds that are done, kept in a file for a run that is resumed.

    A file that is damaged or of another run's searches is computed again.
    """

    def __init__(self, file: Path | None = None) -> None:
        """`file`: None where nothing is to be kept."""
        self._file = file
        self._done: list[list[Tried]] = []
        if file is not None and file.exists():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                self._done = [[_tried(row) for row in fold] for fold in records.read_object(file)["folds"]]

    def of(self, number: int, names: Sequence[str], compute: Callable[[], list[Tried]]) -> list[Tried]:
        """The scores of one fold, as kept or else as `compute` finds them.

        Args:
            number: of the fold, from 0.
            names: of its searches.
            compute: tries every setting.
        """
        kept = self._done[number] if number < len(self._done) else []
        if not kept or any([*one.scores] != [*names] for one in kept):
            self._done = [*self._done[:number], compute()]
            if self._file is not None:
                folds = [[[list(astuple(one.setting)), one.scores, one.closest] for one in fold] for fold in self._done]
                storage.write_json(self._file, {"folds": folds})
        return self._done[number]


@torch.no_grad()
def choose(lessons: Sequence[Lesson], recipe: Recipe, folds: Folds | None = None) -> Choice:
    """The setting with the best score over all rehearsals.

    Scores are multiplied: a setting that is a tenth better in one search and a tenth worse in another is no better.
    One that is below the frozen backbone in either search is chosen only where all are; the caller then keeps the
    frozen backbone, unless gradient training finds something better.
    """
    if not lessons:
        return Choice(CAREFUL, [], [])
    folds = folds or Folds()
    tried: dict[Setting, list[dict[str, float]]] = defaultdict(list)
    closest: dict[Setting, list[float]] = defaultdict(list)
    for number, lesson in enumerate(progress.track(lessons, "rehearsals")):
        for one in folds.of(number, lesson.validation.names, partial(_all_settings, lesson, recipe)):
            tried[one.setting].append(one.scores)
            if one.closest is not None:
                closest[one.setting].append(one.closest)
    frozen = mean([lesson.validation.scores(lesson.baseline.numpy()) for lesson in lessons])
    harmless = [one for one in tried if all(score >= frozen[name] for name, score in mean(tried[one]).items())]
    best = max(harmless or tried, key=lambda one: together(score for found in tried[one] for score in found.values()))
    return Choice(best, tried[best], closest[best])


def _all_settings(lesson: Lesson, recipe: Recipe) -> list[Tried]:
    """Every setting, tried in one lesson."""
    found = []
    head = new_head(lesson, recipe)
    solved = solve(head, lesson)
    solved.fill_base(head)
    seen = head.before(lesson.validation_features)
    base = head.base(seen)
    strangers = Strangers(lesson)
    gallery = head.before(strangers.gallery) if strangers else seen[:0]
    gallery_base = head.base(gallery)
    for shrinkage, settings in groupby(SETTINGS, key=lambda setting: setting.shrinkage):
        solved.fill_tuned(head, shrinkage)
        tuned, gallery_tuned = head.tuned(seen), head.tuned(gallery)
        for setting in settings:
            if len(head.means) or not setting.recall:
                head.blend, head.recall = torch.tensor(setting.blend), torch.tensor(setting.recall)
                joined = head.joined(base, tuned)
                scores, closest = lesson.validation.scores(joined.numpy()), None
                if strangers:
                    closest = strangers.threshold(joined, head.joined(gallery_base, gallery_tuned))
                found.append(Tried(setting, scores, closest))
    return found


def _tried(row: list[Any]) -> Tried:
    """A line of folds.json; raises ValueError or TypeError where it is not one."""
    setting, scores, closest = row
    found = Tried(Setting(*map(float, setting)), {str(name): float(score) for name, score in scores.items()}, closest)
    if found.setting not in SETTINGS or not (closest is None or isinstance(closest, float)):
        raise ValueError("a value that dmlcli did not write")
    return found


def mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each search over several rehearsals."""
    names = dict.fromkeys(name for found in scores for name in found)
    return {name: float(np.mean([found[name] for found in scores if name in found])) for name in names}
