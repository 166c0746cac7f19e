"""Recipes by name and in files: TOML, one setting a line, named as on the command line.

`dmlcli/learn/recipes/` holds those of papers, each line with its source; every run saves its own in its folder.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dmlcli.errors import CannotRun, UsageError, nearest
from dmlcli.learn.backbone_table import resolve_need
from dmlcli.learn.recipe import DEEP_BATCH, FIELDS, Recipe

_PUBLISHED = Path(__file__).parent / "recipes"
_KEYS = {field.key: field for field in FIELDS.values()}


def resolve(named: str | None, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a name or file, with other settings in place of its own, checked.

    Args:
        named: a published recipe or a file; None: the defaults.
        overrides: settings by name.

    Raises:
        UsageError: an unknown recipe, or a setting that is not valid.
        CannotRun: the file cannot be read.
    """
    settings = (read(named) if named else {}) | dict(overrides)
    if "weights" in settings:
        settings["weights"] = str(settings["weights"])  # a path, from Python
    if "backbone" in settings:
        settings["backbone"] = resolve_need(settings["backbone"])
    if settings.get("tune") in ("top", "all"):
        settings.setdefault("batch_size", DEEP_BATCH)
    recipe = Recipe(**settings)
    recipe.check()
    return recipe


def published() -> list[str]:
    """Return the names that `--recipe` takes."""
    return sorted(file.stem for file in _PUBLISHED.glob("*.toml"))


def read(named: str) -> dict[str, Any]:
    """Return the settings of a published recipe, or of a file; raise UsageError for one that is not known."""
    file = _PUBLISHED / f"{named}.toml"
    if named not in published():
        file = Path(named)
        if not file.is_file():
            raise UsageError(f"recipe not found: '{named}'", hint=nearest(named, published()))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error
    return from_toml(text, file)


def from_toml(text: str, file: Path) -> dict[str, Any]:
    """Return the settings in the text of a recipe file; errors name `file`."""
    try:
        values = tomllib.loads(text)
    except ValueError as error:
        raise _unreadable(file, error) from error
    return dict(_setting(file, key.replace("-", "_"), value) for key, value in values.items())


def to_toml(recipe: Recipe) -> str:
    """Return the text of a recipe file that `read` takes; settings without a value are left out."""
    import tomli_w

    values = {key: getattr(recipe, field.name) for key, field in _KEYS.items()}
    return tomli_w.dumps({key: value for key, value in values.items() if value is not None})


def _setting(file: Path, key: str, value: object) -> tuple[str, object]:
    """Return name and value of the setting in a line of a file; raise UsageError where one of them is invalid."""
    if key not in _KEYS:
        raise UsageError(f"{file}: unknown setting '{key}'", hint=nearest(key, list(_KEYS)))
    field = _KEYS[key]
    try:
        field.check(value)
    except UsageError as error:
        error.args = (f"{file}: {error}",)
        raise
    return field.name, float(value) if field.kind is float and isinstance(value, int) else value


def _unreadable(file: Path, error: Exception) -> CannotRun:
    return CannotRun(f"cannot read the recipe {file}: {error}", hint="one setting a line: epochs = 40")
