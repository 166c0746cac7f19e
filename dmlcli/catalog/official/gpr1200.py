"""GPR1200 (Schall et al., MMM 2022): 1,200 classes of ten images from six sources; all query each other."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.folders import sub_folders

BENCHMARK = Benchmark(
    name="gpr1200",
    title="GPR1200",
    protocol="leave-one-out",
    query_split="test",
    gallery_split="test",
    recall_at=(1, 5, 10),
    published={"test": Published(12000, 1200)},
)
_PARTS = ("Landmarks", "iNat", "Sketch", "INSTRE", "SOP", "Faces")  # 200 classes each, in this order
_NAME = re.compile(r"(\d+)_.+\.\w+")


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set: only numbered images, under its own name or complete."""
    if not (root / "images").is_dir() or sub_folders(root) != ["images"]:
        return False
    names = _names(root)
    complete = len(names) == BENCHMARK.published["test"].images
    return bool(names) and (complete or "gpr1200" in root.resolve().name.lower()) and all(map(_NAME.fullmatch, names))


def items(root: Path) -> Iterator[Item]:
    """Yield names `<class>_<original name>`, in the order of the class numbers; the part is the category."""
    numbered = sorted((int(name.partition("_")[0]), name) for name in _names(root))
    for place, (number, name) in enumerate(numbered):
        part = _PARTS[min(place // 2000, len(_PARTS) - 1)]
        yield Item(f"images/{name}", str(number), part, "test")


def _names(root: Path) -> list[str]:
    with os.scandir(root / "images") as found:
        return [entry.name for entry in found if entry.name[0] != "."]
