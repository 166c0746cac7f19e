"""JSON files, and how a record on disk names other paths."""

import json
import os
from pathlib import Path
from typing import Any

from dmlcli import records
from dmlcli.disk.files import write_text
from dmlcli.disk.folders import restore


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if any("\udc80" <= sign <= "\udcff" for sign in text):
        text = json.dumps(value, indent=2)  # a name that is not UTF-8 can only be escaped
    write_text(target, text + "\n")


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; raises ValueError where the file holds anything else."""
    return records.read_object(file)


def reference(path: Path, folder: Path) -> dict[str, str]:
    """How a record in `folder` names `path`, so that it is found again also after both were moved together."""
    if path.parts and path.parts[0].endswith(":"):  # a URL is the same from everywhere
        return {"absolute": str(path), "relative": ""}
    path = path.resolve()
    return {"absolute": str(path), "relative": os.path.relpath(path, folder.resolve())}


def dereference(named: dict[str, str], folder: Path) -> Path:
    """The path that a record in `folder` names: where it lies from here, else where it was."""
    if not named["relative"]:
        return Path(named["absolute"])
    absolute, moved = Path(named["absolute"]), restore((folder.resolve() / named["relative"]).resolve())
    return moved if moved.exists() or not absolute.exists() else absolute
