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
from dmlcli.errors import ModelError
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
    try:
        found = open_model(folder)
    except ModelError:
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
                _link(file, draft / file.name)
    return before


def prune(models: Path, in_use: Collection[str]) -> None:
    """Remove the oldest models until no more than `MOST` are left besides those whose fingerprints are in use."""
    if not models.is_dir():
        return
    folders = [folder for folder in models.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    spare = [folder for folder in folders if folder.name not in in_use]
    spare.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
    for folder in spare[MOST:]:
        shutil.rmtree(folder, ignore_errors=True)


def _is_same(folder: Path, model: Model) -> bool:
    try:
        return open_model(folder).record.fingerprint == model.record.fingerprint
    except ModelError:
        return False


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(file, target)
