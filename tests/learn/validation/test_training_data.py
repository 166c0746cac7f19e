"""What a time budget leaves of the views of each photo, and that it is said only where it is so."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dmlcli.catalog import open_catalog, split_for_training
from dmlcli.learn.networks import frozen
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.time_budget import TimeBudget
from dmlcli.learn.validation import training_data
from dmlcli.workspace import Workspace


@pytest.mark.parametrize(
    ("augment", "seconds", "views", "note"),
    [
        ("none", 1.0, ["plain"], []),
        ("light", 1.0, ["plain", "flip", "light1-seed0"], []),
        ("light", 50.0, ["plain"], ["the budget has time for 1 of 3 views of each photo"]),
    ],
)
def test_a_budget_names_the_views_that_it_has_no_time_for(
    begun: Path,
    shop: Path,
    monkeypatch: pytest.MonkeyPatch,
    augment: str,
    seconds: float,
    views: list[str],
    note: list[str],
) -> None:
    notes: list[str] = []
    monkeypatch.setattr("dmlcli.progress.note", notes.append)
    recipe, workspace, cpu = (
        Recipe(backbone="descriptor", views=3, augment=augment),
        Workspace(begun),
        torch.device("cpu"),
    )
    catalog = open_catalog(shop)
    backbone = frozen.open_backbone(recipe, workspace.frozen, catalog)
    readable = replace(training_data.read_photos(catalog, backbone, workspace, cpu), seconds=seconds)
    notes.clear()
    data = training_data.gather(
        readable,
        split_for_training(readable.photos),
        backbone,
        recipe,
        workspace,
        device=cpu,
        time_budget=TimeBudget(60),
    )
    assert list(data.view_names) == views and data.views.shape[:2] == (len(views), len(catalog.items))
    assert notes == note
