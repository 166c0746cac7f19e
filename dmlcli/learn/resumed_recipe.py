"""The recipe of a run that is resumed."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from dmlcli.errors import MismatchError
from dmlcli.learn.recipe import Recipe, differences
from dmlcli.learn.recipe_files import from_toml, resolve
from dmlcli.runs import Run


def resumed_recipe(run: Run, named: str | None, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe that a run was started with.

    Args:
        run: the run that is resumed.
        named: the value of `--recipe`, if given.
        overrides: other settings on the command line.

    Raises:
        MismatchError: its recipe.toml was edited since, or other settings are given now.
    """
    before = resolve(None, from_toml(run.record.recipe, run.recipe))
    if run.recipe.is_file() and (edited := differences(resolve(str(run.recipe), {}), before)):
        raise MismatchError(
            f"{run.recipe} was edited since run {run.record.id} began: {'; '.join(edited)}",
            hint=f"undo that to resume, or start a new run with it: dmlcli train CATALOG --recipe {run.recipe}",
        )
    now = resolve(named, overrides) if named else resolve(None, asdict(before) | dict(overrides))
    if changes := differences(now, before):
        raise MismatchError(
            f"run {run.record.id} was started with other settings: {'; '.join(changes)}",
            hint="omit them to resume the run, or train without --resume",
        )
    return before
