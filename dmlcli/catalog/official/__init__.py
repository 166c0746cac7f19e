"""Benchmark data sets by their official layout, one file each; nothing is ever downloaded.

A file of this folder says what is published (BENCHMARK), whether an unpacked folder holds the data set (`is_here`), and
how to read it (`items`). Splits are called train, val, test, query and gallery. Bounding boxes that come with a data
set are not applied: its published protocol uses whole images.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from dmlcli.catalog.catalog import Benchmark, Catalog, Item
from dmlcli.catalog.folders import sub_folders
from dmlcli.catalog.official import (
    cars196,
    cub200,
    dukemtmc,
    gpr1200,
    grocery_store,
    inshop,
    market1501,
    products10k,
    rp2k,
    sop,
    vehicle_id,
)

__all__ = ["DATA_SETS", "benchmark_of", "read"]


class _DataSet(Protocol):
    """What a file of this folder holds."""

    BENCHMARK: Benchmark

    def is_here(self, root: Path) -> bool: ...

    def items(self, root: Path) -> Iterable[Item]: ...


DATA_SETS: tuple[_DataSet, ...] = (  # in the order in which a folder is tried
    cars196,
    cub200,
    dukemtmc,
    gpr1200,
    grocery_store,
    inshop,
    market1501,
    products10k,
    rp2k,
    sop,
    vehicle_id,
)


def read(folder: Path) -> Catalog | None:
    """Return the known data set in this folder; None where there is none."""
    found = _find(folder)
    if found is None:
        return None
    root, known = found
    return Catalog(root.resolve(), list(known.items(root)), benchmark=known.BENCHMARK)


def benchmark_of(path: Path) -> Benchmark | None:
    """Return which known data set a path is, without reading it; None for any other catalog."""
    found = _find(path) if path.is_dir() else None
    return found[1].BENCHMARK if found else None


def _find(folder: Path) -> tuple[Path, _DataSet] | None:
    """Return the data set whose official layout this folder has, or the only folder in it, and where."""
    inside = [name for name in sub_folders(folder) if name != "__MACOSX"]
    for root in [folder, *(folder / name for name in inside if len(inside) == 1)]:
        for known in DATA_SETS:
            if known.is_here(root):
                return root, known
    return None
