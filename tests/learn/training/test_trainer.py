"""Training from Python, as the command does it: a catalog, a recipe and a run in, a model out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmlcli import model_switch, runs
from dmlcli.catalog import open_catalog
from dmlcli.indexes import open_index
from dmlcli.learn.recipe import Recipe
from dmlcli.learn.recipe_files import to_toml
from dmlcli.learn.training import train
from dmlcli.workspace import Workspace


def test_a_python_user_trains_and_switches_to_the_model(begun: Path, shop: Path) -> None:
    workspace, catalog = Workspace(begun), open_catalog(shop)
    recipe = Recipe(backbone="descriptor", dim=8, epochs=2)
    seen: list[Mapping[str, Any]] = []
    with runs.start(workspace.runs, to_toml(recipe), str(shop), workspace.model) as run:
        run.listeners.append(seen.append)
        trained = train(catalog, recipe, run, device="cpu")
        assert run.workspace == workspace and not trained.interrupted
    assert trained.model.folder == workspace.models / run.record.id
    assert trained.model.record.scores["map@r"] == trained.validation.score
    logged = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["candidate"] for row in seen] == [row["candidate"] for row in logged]

    switched = model_switch.switch(catalog, trained.model, workspace, workspace.model, embedded=trained.embedded)
    assert switched.replaced is None and switched.embeddings is not None
    assert open_index(workspace.index).model == trained.model.record.fingerprint
