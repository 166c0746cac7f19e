"""What cross-validation found: how training is judged, and which LDA head suits the photos."""

from dataclasses import dataclass

import torch

from dmlcli.learn.networks.lda import CAREFUL, Setting
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.folds import describe, fitted_in_the_end, rehearsals
from dmlcli.learn.validation.head_selection import Choice, Folds, choose, new_head, solve
from dmlcli.learn.validation.training_data import Lesson, Material


@dataclass(frozen=True)
class Plan:
    """What the rehearsals found: how training is judged, and which closed form suits the photos."""

    lessons: list[Lesson]  # of each rehearsal; a single one of all photos, judged by nothing, where there is none
    how: str
    setting: Setting
    frozen: list[dict[str, float]]  # MAP@R of each search in each rehearsal
    closed: list[dict[str, float]]
    strangers: list[float]  # how close new products come to the closed form's, in each that holds some out
    only_closed: bool = False  # whether the searches say too little to trust gradient steps by them


def make_plan(material: Material, recipe: Recipe, fold_scores: Folds | None = None) -> Plan:
    """Rehearse the closed forms, and choose one; `fold_scores` keeps the scores of each rehearsal."""
    items = material.photos.items
    made = rehearsals(items, material.split, recipe.purpose, recipe.seed)
    lessons = [material.lesson(rehearsal.fit, rehearsal.searches) for rehearsal in made]
    how = describe(made, items)
    if material.imitates:
        lessons, how = synthetic_queries.lessons(material, recipe), synthetic_queries.HOW
    frozen = [lesson.validation.scores(lesson.baseline.numpy()) for lesson in lessons]
    one_sided = recipe.purpose == "both" and not any("new" in lesson.validation.names for lesson in lessons)
    if recipe.head == "identity":
        choice = Choice(CAREFUL, [], [])
    elif lessons and one_sided:
        choice = Choice(CAREFUL, [_scores(lesson, CAREFUL, recipe) for lesson in lessons], [])
        how += "; too few products to hold any out: the most careful setting"
    else:
        choice = choose(lessons, recipe, fold_scores)
    if not lessons:
        lessons = [material.lesson(fitted_in_the_end(items, material.split), {})]
    only_closed = one_sided or material.imitates
    return Plan(lessons, how, choice.setting, frozen, choice.scores, choice.strangers, only_closed)


@torch.no_grad()
def _scores(lesson: Lesson, setting: Setting, recipe: Recipe) -> dict[str, float]:
    """What one closed form reaches in a lesson."""
    head = new_head(lesson, recipe)
    solve(head, lesson).fill(head, setting)
    return lesson.validation.scores(head(lesson.validation_features).numpy())
