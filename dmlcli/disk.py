"""Writing so that a crash leaves the old or the new, never half of one.

Every writer writes beside its target, syncs, then renames. A folder is swapped by two renames; a process killed between
them leaves the old folder under `<name>.previous`, from where the next reader takes it back.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target`, replacing what was there, once the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        for file in draft.iterdir():
            _sync(file)
        _sync(draft)
        _swap(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    draft.write_text(text, encoding="utf-8")
    _sync(draft)
    draft.replace(target)


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def restore(target: Path) -> Path:
    """Take back the previous folder where a writer was killed between its two renames; returns `target`."""
    previous = _previous(target)
    if not target.exists() and previous.exists():
        previous.rename(target)
    return target


def _previous(target: Path) -> Path:
    return target.with_name(f"{target.name}.previous")


def _swap(draft: Path, target: Path) -> None:
    previous = _previous(target)
    if target.exists():
        shutil.rmtree(previous, ignore_errors=True)
        target.rename(previous)
    draft.rename(target)
    shutil.rmtree(previous, ignore_errors=True)
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
