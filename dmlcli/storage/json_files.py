"""JSON files, and how a record on disk names other paths."""

import json
import os
from pathlib import Path
from typing import Any

from dmlcli.storage.files import write_text


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    if any("\udc80" <= sign <= "\udcff" for sign in text):
        text = json.dumps(value, indent=2)  # a name that is not UTF-8 can only be escaped
    write_text(target, text + "\n")


def reference(path: Path, folder: Path) -> dict[str, str]:
    """Return how a record in `folder` names `path`, so that it is found again also after both were moved together."""
    if path.parts and path.parts[0].endswith(":"):  # a URL is the same from everywhere
        return {"absolute": str(path), "relative": ""}
    path = path.resolve()
    return {"absolute": str(path), "relative": os.path.relpath(path, folder.resolve())}
