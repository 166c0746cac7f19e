"""Where no second photo can be held out, views that were kept from the fit stand in for photos of others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.learn.data import augmentation
from dmlcli.learn.training.candidate import frozen_candidate, lda_candidate
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.plan import make_plan
from dmlcli.learn.validation.training_data import TrainingData
from tests.conftest import Cli, make_shop
from tests.learn.training.test_epochs import gathered, recipe

PRODUCTS = 9


@pytest.fixture
def data(tmp_path: Path) -> TrainingData:
    """One photo of each product, in the views that search sees and in one of each family."""
    whole = gathered(tmp_path)
    items = whole.photos.items[:: len(whole.photos.items) // 12][:PRODUCTS]
    rows = list(range(PRODUCTS))
    plain = F.normalize(torch.randn(PRODUCTS, 12, generator=torch.Generator().manual_seed(0)), dim=-1)
    noise = torch.randn(5, PRODUCTS, 12, generator=torch.Generator().manual_seed(1))
    return replace(
        whole,
        photos=Catalog(whole.photos.root, items),
        split=TrainingSplit(rows, []),
        views=F.normalize(plain + 0.05 * noise, dim=-1),
        view_names=["plain", "flip", *augmentation.family_names(0)],
    )


def test_it_is_needed_where_nothing_real_can_be_held_out(data: TrainingData) -> None:
    assert synthetic_queries.is_needed(data.photos, data.split, recipe())
    several = Catalog(data.photos.root, [item for item in data.photos.items for _ in range(4)])
    assert not synthetic_queries.is_needed(several, TrainingSplit(list(range(36)), []), recipe())
    assert not synthetic_queries.is_needed(data.photos, data.split, recipe("all"))
    assert not synthetic_queries.is_needed(data.photos, TrainingSplit([0, 1, 2], []), recipe())


def test_a_family_judges_where_it_was_not_fitted_on(data: TrainingData) -> None:
    folds = synthetic_queries.folds(data, recipe())
    assert len(folds) == 3
    for number, fold in enumerate(folds):
        family = 2 + number
        shown = [view for view in range(5) if view != family]
        assert torch.equal(fold.train.features, data.views[shown][:, list(fold.train.rows)])
        assert fold.train.products == 6 and set(fold.validation.searches.names) == {"seen", "unseen"}
        asked = [row for row in fold.validation.searches.rows if row >= PRODUCTS]
        at = [fold.validation.searches.rows.index(row) for row in asked]
        assert torch.equal(fold.validation.features[at], data.views[family][[row - PRODUCTS for row in asked]])
    assert set(synthetic_queries.folds(data, recipe(purpose="seen"))[0].validation.searches.names) == {"seen"}


def test_the_lda_head_is_chosen_by_them_and_no_gradient_is_trusted(data: TrainingData) -> None:
    plan = make_plan(data, recipe("auto"))
    assert plan.summary == synthetic_queries.SUMMARY and plan.lda_only
    frozen, closed = frozen_candidate(plan).score, lda_candidate(plan).score
    assert frozen is not None and closed is not None and closed > 0


@pytest.mark.slow
def test_one_photo_a_product_is_a_catalog(cli: Cli, begun: Path, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop", 6, 1)
    found = cli("train", shop, "--backbone", "descriptor", "--dim", 16, "-w", begun, "--no-index")
    assert found.code == 0, found.err
    assert "synthetic queries" in found.out and "MAP@R" in found.out
