"""The current model in the folds of a new one: scored as in its cross-validation, without held-out photos."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from dmlcli import fitted_photos, held_out_scores, runs, workspace
from dmlcli.catalog import open_catalog
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.recipe_files import to_toml
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.training import CurrentScores, train
from dmlcli.learn.training.candidate import lda_candidate
from dmlcli.learn.training.current_model import score_current
from dmlcli.learn.training.trainer import load_data
from dmlcli.learn.validation.plan import ValidationPlan, make_plan
from dmlcli.learn.validation.training_data import TrainingData
from dmlcli.model import Model, ModelRecord, open_model
from tests.conftest import SAMPLE

RECIPE = Recipe(backbone="descriptor", views=2, epochs=1)
OLD = 18  # products that an earlier catalog had


class Case(NamedTuple):
    """A model, and the data and folds of a training on the catalog as it is now."""

    model: Model
    data: TrainingData
    plan: ValidationPlan

    def scores(self, model: Model | None = None, plan: ValidationPlan | None = None) -> CurrentScores:
        return score_current(model or self.model, self.data, plan or self.plan, lda_candidate(self.plan))


class Shop:
    """Shop photos and snapshots of every second product of the sample catalog: on these an LDA head is best."""

    def __init__(self, folder: Path) -> None:
        for photos in sorted((SAMPLE / "catalog").glob("*/*"))[::2]:
            shutil.copytree(photos, folder / "shop" / photos.name)
            for snapshot in (SAMPLE / "queries" / photos.name).glob("*.jpg"):
                shutil.copy(snapshot, folder / "shop" / photos.name / f"snapshot-{snapshot.name}")
        self.place = workspace.make(folder / "w")
        self.photos = open_catalog(folder / "shop")
        self.data = load_data(self.photos, RECIPE, self.place, torch.device("cpu"), TimeBudget())
        self.plan = make_plan(self.data, RECIPE)

    def trained(self, recipe: Recipe = RECIPE, products: int | None = None) -> Model:
        names = sorted({item.product for item in self.photos.items})[:products]
        part = replace(self.photos, items=[item for item in self.photos.items if item.product in names])
        with runs.start(self.place.runs, to_toml(recipe), "shop", self.place.model) as run:
            return train(part, recipe, run, "cpu").model


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("current"))


@pytest.fixture(scope="module")
def trained(shop: Shop) -> Model:
    return shop.trained()


@pytest.fixture
def case(shop: Shop, trained: Model, tmp_path: Path) -> Case:
    """A copy of the model, which a test may change."""
    return Case(open_model(shutil.copytree(trained.folder, tmp_path / "model")), shop.data, shop.plan)


def test_in_its_own_folds_it_scores_as_in_its_cross_validation(case: Case) -> None:
    assert case.model.record.scores["chosen"].startswith("LDA head")
    stored, again = held_out_scores.read(case.model.folder), case.scores()
    assert again.why_not == "" and again.gone == 0 and len(again.searches) == len(stored) > 1
    for one, other in zip(again.searches, stored, strict=True):
        assert (one.name, one.mark, list(one.products)) == (other.name, other.mark, list(other.products))
        for metric in held_out_scores.METRICS:
            ours, theirs = (np.array(each.scores[metric], dtype=float) for each in (one, other))
            np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_photos_that_a_fold_holds_out_do_not_count(case: Case) -> None:
    """The scores of a fold stay the same if the model was never fitted on the photos that it holds out."""
    first = replace(case.plan, folds=case.plan.folds[:1])
    before = case.scores(plan=first).searches
    kept = {case.data.plain.states[row].digest for row in first.folds[0].train.rows}
    photos = fitted_photos.read(case.model.folder)
    left = [(digest, product) for product, digests in photos.items() for digest in digests if digest in kept]
    assert 0 < len(left) < sum(map(len, photos.values()))
    fitted_photos.write(case.model.folder, left)
    assert case.scores(plan=first).searches == before
    fitted_photos.write(case.model.folder, left[::2])
    assert case.scores(plan=first).searches != before


def test_new_products_are_searched_though_it_was_not_fitted_on_them(shop: Shop) -> None:
    model = shop.trained(replace(RECIPE, purpose="seen"), OLD)
    assert model.record.scores["chosen"].startswith("LDA head") and len(model.record.products) == OLD
    scored = Case(model, shop.data, shop.plan).scores()
    assert scored.why_not == "" and scored.gone == 0 and {one.name for one in scored.searches} == {"seen", "unseen"}
    asked = {product for one in scored.searches for product in one.products}
    assert not asked <= set(model.record.products)
    stored = held_out_scores.read(model.folder)
    assert held_out_scores.compare(scored.searches, stored)[2] == []  # they have no search in common


def test_a_photo_keeps_the_product_that_it_was_fitted_with(case: Case) -> None:
    items = [item._replace(product=f"renamed {item.product}") for item in case.data.photos.items]
    renamed = replace(case.data, photos=replace(case.data.photos, items=items))
    again = score_current(case.model, renamed, case.plan, lda_candidate(case.plan))
    before = case.scores()
    assert [one.scores for one in again.searches] == [one.scores for one in before.searches]


def test_a_model_without_a_head_has_nothing_to_fit(shop: Shop) -> None:
    model = shop.trained(replace(RECIPE, tune="none"))
    scored = Case(model, shop.data, shop.plan).scores()
    found = [float(np.nanmean(np.array(one.scores["map@r"], dtype=float))) for one in scored.searches]
    plain = [
        fold.validation.searches.scores(shop.data.views[0][fold.validation.searches.rows].numpy())
        for fold in shop.plan.folds
    ]
    assert found == pytest.approx([score for fold in plain for score in fold.values()])
    assert not (model.folder / "fitted.json").exists()


def test_what_cannot_be_fitted_again_says_why(case: Case) -> None:
    record = case.model.record

    def why(changed: ModelRecord) -> str:
        return case.scores(replace(case.model, record=changed)).why_not

    assert "its backbone is other" in why(replace(record, backbone="other"))
    assert "trained by gradients" in why(replace(record, scores=record.scores | {"chosen": "epoch 3"}))
    assert "other views" in why(replace(record, recipe=record.recipe | {"views": 3}))
    states = [state._replace(digest=f"{number}") for number, state in enumerate(case.data.plain.states)]
    gone = replace(case.data, plain=replace(case.data.plain, states=states))
    assert (
        "photos that it was fitted on are gone"
        in score_current(case.model, gone, case.plan, lda_candidate(case.plan)).why_not
    )
    file = case.model.folder / "fitted.json"
    file.write_text(json.dumps({"schema": 1, "photos": {"mug": 3}}))
    assert case.scores().why_not == "the photos that it was fitted on are not known"
