"""Where no second photo can be held out, views that were kept from the fit stand in for photos of others."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dmlcli.catalog import Catalog, TrainingSplit
from dmlcli.learn.data import augmentation
from dmlcli.learn.training.candidate import closed_trial, frozen_trial
from dmlcli.learn.validation import synthetic_queries
from dmlcli.learn.validation.plan import make_plan
from dmlcli.learn.validation.training_data import Material
from tests.conftest import Cli, make_shop
from tests.learn.training.test_epochs import gathered, recipe

PRODUCTS = 9


@pytest.fixture
def material(tmp_path: Path) -> Material:
    """One photo of each product, in the views that search sees and in one of each family."""
    whole = gathered(tmp_path)
    items = whole.photos.items[:: len(whole.photos.items) // 12][:PRODUCTS]
    rows = list(range(PRODUCTS))
    plain = F.normalize(torch.randn(PRODUCTS, 12, generator=torch.Generator().manual_seed(0)), dim=-1)
    noise = torch.randn(5, PRODUCTS, 12, generator=torch.Generator().manual_seed(1))
    return replace(
        whole,
        photos=Catalog(whole.photos.root, items),
        split=TrainingSplit(rows, [], [], [], ""),
        views=F.normalize(plain + 0.05 * noise, dim=-1),
        names=["plain", "flip", *augmentation.family_names(0)],
        imitates=True,
    )


def test_it_is_needed_where_nothing_real_can_be_held_out(material: Material) -> None:
    assert synthetic_queries.is_needed(material.photos, material.split, recipe())
    several = Catalog(material.photos.root, [item for item in material.photos.items for _ in range(4)])
    assert not synthetic_queries.is_needed(several, TrainingSplit(list(range(36)), [], [], [], ""), recipe())
    assert not synthetic_queries.is_needed(material.photos, material.split, recipe("all"))
    assert not synthetic_queries.is_needed(material.photos, TrainingSplit([0, 1, 2], [], [], [], ""), recipe())


def test_a_family_judges_where_it_was_not_fitted_on(material: Material) -> None:
    lessons = synthetic_queries.lessons(material, recipe())
    assert len(lessons) == 3
    for number, lesson in enumerate(lessons):
        family = 2 + number
        shown = [view for view in range(5) if view != family]
        assert torch.equal(lesson.features, material.views[shown][:, list(lesson.rows)])
        assert lesson.products == 6 and set(lesson.validation.names) == {"known", "new"}
        asked = [row for row in lesson.validation.rows if row >= PRODUCTS]
        at = [lesson.validation.rows.index(row) for row in asked]
        assert torch.equal(lesson.validation_features[at], material.views[family][[row - PRODUCTS for row in asked]])
    assert set(synthetic_queries.lessons(material, recipe(purpose="known"))[0].validation.names) == {"known"}


def test_the_closed_form_is_chosen_by_them_and_no_gradient_is_trusted(material: Material) -> None:
    planned = make_plan(material, recipe("auto"))
    assert planned.how == synthetic_queries.HOW and planned.only_closed
    frozen, closed = frozen_trial(planned).score, closed_trial(planned).score
    assert frozen is not None and closed is not None and closed > 0


@pytest.mark.slow
def test_one_photo_a_product_is_a_catalogue(cli: Cli, begun: Path, tmp_path: Path) -> None:
    shop = make_shop(tmp_path / "shop", 6, 1)
    found = cli("train", shop, "--backbone", "descriptor", "--dim", 16, "-w", begun, "--no-index")
    assert found.code == 0, found.err
    assert "imitated photos" in found.out and "MAP@R" in found.out
