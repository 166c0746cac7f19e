"""Which closed form suits these photos: every setting is tried in every rehearsal, the best on the whole is taken."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch

from dmlcli import progress
from dmlcli.learn.closed_form import CAREFUL, SETTINGS, ClosedForm, Setting, split_dim
from dmlcli.learn.heads import BlendHead
from dmlcli.learn.material import Lesson
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.strangers import Strangers
from dmlcli.learn.validate import together

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


@torch.no_grad()
def choose(lessons: Sequence[Lesson], recipe: Recipe) -> Choice:
    """The setting with the best score over all rehearsals.

    Scores are multiplied: a setting that is a tenth better in one search and a tenth worse in another is no better.
    One that falls behind the frozen backbone in either search is taken only where all do.
    """
    if not lessons:
        return Choice(CAREFUL, [], [])
    tried: dict[Setting, list[dict[str, float]]] = {}
    closest: dict[Setting, list[float]] = defaultdict(list)
    for lesson in progress.track(lessons, "rehearsals"):
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
                    tried.setdefault(setting, []).append(lesson.validation.scores(joined.numpy()))
                    if strangers:
                        closest[setting].append(strangers.threshold(joined, head.joined(gallery_base, gallery_tuned)))
    frozen = mean([lesson.validation.scores(lesson.baseline.numpy()) for lesson in lessons])
    harmless = [one for one in tried if all(score >= frozen[name] for name, score in mean(tried[one]).items())]
    best = max(harmless or tried, key=lambda one: together(score for found in tried[one] for score in found.values()))
    return Choice(best, tried[best], closest[best])


def mean(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each search over several rehearsals."""
    names = dict.fromkeys(name for found in scores for name in found)
    return {name: float(np.mean([found[name] for found in scores if name in found])) for name in names}
