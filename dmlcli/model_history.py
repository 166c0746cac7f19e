"""Trained models by fingerprint in `.dmlcli/models/`, and replacement of the current model.

A model that is replaced stays here, so that it can be searched with again, and so that an index made by it goes on
answering until it is rebuilt. Files are hard links where the file system has them, so that a second name for a model
needs no space.
"""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from dmlcli import storage
from dmlcli.errors import ModelError, UsageError
from dmlcli.model import FILES, Model, open_model

MOST = 5  # replaced models that are kept


def adopt(models: Path, made: Model) -> Model:
    """Return the model under its fingerprint in `models`; a draft that was written there is renamed to it."""
    folder = models / made.record.fingerprint
    if made.folder.parent != models:
        keep(models, made.folder)
        return open_model(folder)
    if made.folder == folder:
        return made
    try:
        found = open_model(folder)
    except ModelError:
        shutil.rmtree(folder, ignore_errors=True)
        made.folder.rename(folder)
        return open_model(folder)
    shutil.rmtree(made.folder, ignore_errors=True)
    os.utime(folder)
    return found


def keep(models: Path, folder: Path) -> Path | None:
    """Keep the model in `folder` under its fingerprint; None if it is not a valid model."""
    found = _opened(folder)
    if found is None:
        return None
    kept = models / found.record.fingerprint
    if not _is_same(kept, found):
        place(models, found, kept)
    os.utime(kept)
    return kept


def place(models: Path, made: Model, target: Path) -> Path | None:
    """Make `target` a copy of the model, replacing in one step the model that is there.

    Args:
        models: where the model that is replaced is kept.
        made: the model that `target` is to be.
        target: the folder to replace.

    Returns:
        Where the model that was replaced is kept; None where there was none, or it is the same.
    """
    if target.resolve() == made.folder.resolve() or _is_same(target, made):
        return None
    before = keep(models, target)
    with storage.new_folder(target, FILES) as draft:
        for file in sorted(made.folder.iterdir()):
            if file.name in FILES:
                storage.link_or_copy(file, draft / file.name)
    return before


def known(models: Path, current: Path) -> list[Model]:
    """Return the current model, if there is one, then those that are kept, the last that was in use first."""
    found: dict[str, Model] = {}
    for folder in (current, *_folders(models)):
        if (model := _opened(folder)) is not None:
            found.setdefault(model.record.fingerprint, model)
    return list(found.values())


def find(models: Path, current: Path, name: str) -> Model:
    """Return the model whose fingerprint is `name`, or begins with it and no other does.

    Args:
        models: where models are kept.
        current: the folder of the current model.
        name: a fingerprint or its beginning.

    Raises:
        UsageError: none, or several begin with `name`.
    """
    listed = known(models, current)
    found = [model for model in listed if name and model.record.fingerprint.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    several = ", ".join(model.record.fingerprint for model in found)
    hint = f"use more digits: {several}" if found else "dmlcli models lists them"
    raise UsageError(f"{'several models begin' if found else 'no model begins'} with '{name}'", hint=hint)


def prune(models: Path, in_use: Collection[str]) -> None:
    """Remove the oldest models until no more than `MOST` are left besides those whose fingerprints are in use."""
    spare = [folder for folder in _folders(models) if folder.name not in in_use]
    for folder in spare[MOST:]:
        shutil.rmtree(folder, ignore_errors=True)


def _folders(models: Path) -> list[Path]:
    """Return the folders of kept models, the last that was in use first."""
    if not models.is_dir():
        return []
    found = [folder for folder in models.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    return sorted(found, key=lambda folder: folder.stat().st_mtime_ns, reverse=True)


def _opened(folder: Path) -> Model | None:
    try:
        return open_model(folder)
    except ModelError:
        return None


def _is_same(folder: Path, model: Model) -> bool:
    found = _opened(folder)
    return found is not None and found.record.fingerprint == model.record.fingerprint
