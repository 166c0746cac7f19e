"""Writing so that a crash leaves the old or the new, never half of one.

Every writer writes beside its target, syncs, then renames. A folder is swapped by two renames; a process killed between
them leaves the old folder under `.<name>.previous`, from where the next reader takes it back.
"""

import json
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmlcli.errors import CannotRun


def check_replaceable(target: Path, own: Collection[str]) -> None:
    """Raise CannotRun where writing the folder `target` would destroy anything but files of these names."""
    if target.exists() and not target.is_dir():
        raise CannotRun(f"{target} is a file and will not be replaced by a folder", hint="name another place with -o")
    strangers = sorted(file.name for file in target.iterdir() if file.name not in own) if target.exists() else []
    if strangers:
        raise CannotRun(
            f"{target} holds other things ({', '.join(strangers[:3])}) and will not be replaced",
            hint="-o names a new folder, or one that dmlcli made for the same purpose",
        )


@contextmanager
def new_folder(target: Path, own: Collection[str]) -> Iterator[Path]:
    """Yield an empty folder that becomes `target`, replacing what was there, once the block ends without an error.

    Args:
        own: the names of the files that such a folder holds; one that holds others is somebody else's and is refused.
    """
    check_replaceable(target, own)
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


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Yield a path to write to; the file becomes `target` once the block ends without an error."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield draft
        _sync(draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with new_file(target) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if any("\udc80" <= sign <= "\udcff" for sign in text):
        text = json.dumps(value, indent=2)  # a name that is not UTF-8 can only be escaped
    write_text(target, text + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises ValueError where the file holds anything else."""
    value = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


def reference(path: Path, folder: Path) -> dict[str, str]:
    """How a record in `folder` names `path`, so that it is found again also after both were moved together."""
    path = path.resolve()
    return {"absolute": str(path), "relative": os.path.relpath(path, folder.resolve())}


def dereference(named: dict[str, str], folder: Path) -> Path:
    """The path that a record in `folder` names: where it lies from here, else where it was."""
    absolute, moved = Path(named["absolute"]), restore((folder.resolve() / named["relative"]).resolve())
    return moved if moved.exists() or not absolute.exists() else absolute


def restore(target: Path) -> Path:
    """Take back the previous folder where a writer was killed between its two renames; returns `target`."""
    previous = _previous(target)
    if not target.exists() and previous.exists():
        previous.rename(target)
    return target


def _previous(target: Path) -> Path:
    return target.with_name(f".{target.name}.previous")


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
