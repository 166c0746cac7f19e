"""Nested folds: the search never sees what scores its result, and trains as `train` does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from dmlcli.catalog import TrainingSplit
from dmlcli.errors import CatalogError
from dmlcli.learn.networks import descriptor
from dmlcli.learn.networks.backbone import feature_dim
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.sweep import poolings
from dmlcli.learn.sweep.nested import HeldOutResult, NestedFolds
from dmlcli.learn.training.candidate import Candidate
from dmlcli.learn.validation.head_selection import initial_network
from dmlcli.learn.validation.scoring import geometric_mean
from tests.learn.training.test_epochs import gathered

BASE = Recipe(tune="head", dim=8, epochs=2, batch_size=16)


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> NestedFolds:
    return NestedFolds(gathered(tmp_path_factory.mktemp("nested"), 24), BASE, 16)


def test_no_photo_and_no_product_that_scores_the_result_is_in_the_search(nested: NestedFolds) -> None:
    items = nested._all.photos.items
    seen, unseen = (nested.outer.searches[name] for name in ("seen", "unseen"))
    inner = {row for one in nested.inner for row in one.fit}
    inner |= {row for one in nested.inner for s in one.searches.values() for row in (*s.queries, *s.gallery)}
    assert inner <= {*nested.outer.fit} and not inner & {*seen.queries, *unseen.queries, *unseen.gallery}
    assert not {items[row].product for row in inner} & {items[row].product for row in unseen.queries}
    assert len({items[row].product for row in unseen.queries}) == 12


def test_photos_for_validation_are_shared_by_products(tmp_path: Path) -> None:
    """Split val: every second product of the search validates it, and the photos of the others score the result."""
    data = gathered(tmp_path, 24)
    every = range(len(data.photos.items))
    validation = [row for row in every if row % 6 > 3]
    split = TrainingSplit([row for row in every if row % 6 <= 3], validation)
    nested, items = NestedFolds(replace(data, split=split), BASE, 8), data.photos.items
    given, outer = nested._all.split.validation, nested.outer.searches["seen"].queries
    assert {*given} <= {*validation} and {*outer} <= {*validation} and not {*given} & {*outer}
    for rows in (given, outer):
        assert len({items[row].product for row in rows}) == 6
    assert not {items[row].product for row in given} & {items[row].product for row in outer}
    used = {row for one in nested.inner for s in one.searches.values() for row in (*s.queries, *s.gallery)}
    assert {*given} & used and not {*outer} & used


def test_a_score_and_a_result_do_not_depend_on_the_photos_of_the_other_part(tmp_path: Path) -> None:
    """Features of the outer photos are spoiled: the search finds the same, and the result differs."""
    data = gathered(tmp_path, 24)
    before = NestedFolds(data, BASE, 8)
    outer = [row for row in range(len(data.photos.items)) if row not in {*before.outer.fit}]
    views = data.views.clone()
    views[:, outer] = F.normalize(
        torch.randn(views[:, outer].shape, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    after = NestedFolds(replace(data, views=views), BASE, 8)
    assert before.score(BASE) == after.score(BASE)
    results = before.assess(BASE), after.assess(BASE)
    assert results[0].origin == results[1].origin
    assert results[0].scores["unseen"]["map@r"].mean() > results[1].scores["unseen"]["map@r"].mean()


@pytest.mark.parametrize("head", ["linear", "mlp", "bnneck", "layernorm"])
@pytest.mark.parametrize("dim", [8, 16])
def test_heads_start_from_the_lda_head_that_training_starts_from(nested: NestedFolds, head: str, dim: int) -> None:
    recipe = replace(BASE, head=head, dim=dim)
    plan = nested._plan(recipe)
    for number, fold in enumerate(plan.folds):
        torch.manual_seed(0)
        own = nested._lda_head(recipe, plan, number)
        torch.manual_seed(0)
        exact = initial_network(nested._all, fold, plan.head_params, plan.head_spec).head
        with torch.no_grad():
            cosines = (own(fold.validation.features) * exact(fold.validation.features)).sum(-1)
        assert cosines.min() > 0.9999


def test_the_score_is_reported_epoch_by_epoch_and_can_stop_the_training(nested: NestedFolds) -> None:
    steps: list[tuple[int, float]] = []
    recipe = replace(BASE, patience=0)
    score = nested.score(recipe, lambda step, gain: steps.append((step, gain)))
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5, 6]  # of three folds with two epochs each
    plan = nested._plan(recipe)
    frozen = sum(geometric_mean(scores.values()) for scores in plan.frozen_scores) / 3
    assert steps[-1][1] == pytest.approx(score - frozen)

    def stop(step: int, gain: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        nested.score(recipe, stop)


def test_better_epochs_score_higher_where_training_keeps_the_lda_head(
    nested: NestedFolds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a search could not tell recipes apart, as long as none of them beats the LDA head."""
    recipes = [replace(BASE, learning_rate=rate) for rate in (1e-9, 3.0)]
    free = [nested.score(recipe) for recipe in recipes]
    monkeypatch.setattr(Candidate, "beats", lambda *_: False)
    kept = [nested.score(recipe) for recipe in recipes]
    assert 0 < abs(kept[1] - kept[0]) < 0.01 < abs(free[1] - free[0])


def test_differences_are_paired_and_cover_all_searches(nested: NestedFolds) -> None:
    result = nested.frozen()
    higher = HeldOutResult("other", {name: {m: v + 0.25 for m, v in of.items()} for name, of in result.scores.items()})
    rows = nested.difference(higher, result)
    assert [(row.search, row.metric) for row in rows] == [
        (search, metric) for search in ("seen", "unseen", "all") for metric in ("map@r", "recall@1")
    ]
    for row in rows:
        assert row.significant and row.interval95 == pytest.approx((0.25, 0.25))
    for row in nested.difference(result, result):
        assert row.difference == 0 and row.interval95 == (0, 0) and not row.significant


def test_too_few_products_to_hold_out_twice(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="at least 16 products"):
        NestedFolds(gathered(tmp_path, 12), BASE, 8)


def test_smaller_poolings_are_the_first_columns(tmp_path: Path) -> None:
    described = feature_dim(descriptor.Descriptor(), descriptor.IMAGE)
    data: Any = gathered(tmp_path, 4)
    rows = F.normalize(torch.rand(2, 24, 4 * 3 + described, generator=torch.Generator().manual_seed(0)), dim=-1)
    backbone = replace(data.backbone, published=_with(3), feature_extractor=_with(0, "two-maps+descriptor"))
    data = replace(data, views=rows, backbone=backbone)
    assert poolings.known(data) == ("two-maps+descriptor", "two-maps", "avg+max", "avg")
    for pooling, columns in (("two-maps", 12), ("avg+max", 6), ("avg", 3)):
        assert torch.equal(poolings.with_pooling(data, pooling).views, F.normalize(rows[..., :columns], dim=-1))
    assert poolings.with_pooling(data, None) is data
    assert not poolings.known(gathered(tmp_path / "other", 4))


def _with(dim: int, pooling: str | None = None) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(head=SimpleNamespace(dim=dim), pooling=pooling)
