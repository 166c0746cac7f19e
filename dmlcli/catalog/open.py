"""Selection of the reader for a path, and checks that the catalog is complete."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dmlcli import progress
from dmlcli.catalog import official
from dmlcli.catalog.catalog import Catalog
from dmlcli.catalog.columns import Columns
from dmlcli.catalog.folders import read_folder
from dmlcli.catalog.shards import find_shards, read_shards
from dmlcli.catalog.tables import read_table
from dmlcli.errors import CatalogError
from dmlcli.image import is_there
from dmlcli.missing import why_missing

_NO_FOLDER = "a catalog is a folder with a folder per product, or a table of images"


def open_catalog(
    path: Path,
    columns: Columns | None = None,
    root: Path | None = None,
    *,
    for_training: bool = False,
    strict: bool = False,
) -> Catalog:
    """Read a folder of products, a known data set in its official layout, a table of images, or tar files of samples.

    Args:
        path: a folder (`root/<product>/*` at any depth: the product is the last folder, the category the ones above),
            or a table (CSV, TSV, JSON Lines, Parquet, or lines of `path label`) with a column of image paths,
            or a tar file as WebDataset writes it, several (`shard-{000..009}.tar`), a folder of them, or their URL.
        columns: names of a table's columns where they are not the usual ones.
        root: what a table's paths are relative to; its own folder by default.
        for_training: leave out the splits that training may not use, without opening their files.
        strict: refuse a catalog with a file missing, or a known data set with other counts than published.

    Raises:
        CatalogError: no catalog, or no images in it.
        UsageError: a column does not exist.
    """
    path = Path(path)
    if root is not None and not Path(root).is_dir():
        reason, _ = why_missing(Path(root).absolute())
        raise CatalogError(f"--root {root} is not a folder: {reason}", hint="--root DIR takes an existing folder")
    with _no_collection():
        if shards := find_shards(path):
            whole = read_shards(shards, columns or Columns())
        elif path.is_dir():
            whole = official.read(path) or read_folder(path, for_training)
        elif path.is_file():
            whole = read_table(path, columns or Columns(), Path(root or path.parent))
        else:
            reason, hint = why_missing(path)
            raise CatalogError(f"cannot read the catalog {path}: {reason}", hint=hint or _NO_FOLDER)
    if not whole.items:
        also = ""
        if whole.skipped:
            first = whole.skipped[0]
            also = f"; {len(whole.skipped)} could not be read, first {first.path}: {first.reason}"
        raise CatalogError(f"no images found in {path}{also}", hint=_NO_FOLDER)
    _check_counts(whole, strict)
    catalog = whole.without_test() if for_training else whole
    if not catalog.items:
        found = ", ".join(sorted({item.split for item in whole.items}))
        raise CatalogError(
            f"no image of {path} has split train; its splits are {found}",
            hint="--split-column NAME selects another column",
        )
    if not shards:  # which were listed a moment ago
        _check_files(catalog, path, strict)
    return catalog


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector from walking a million growing items again and again: half the time of reading."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check_counts(catalog: Catalog, strict: bool) -> None:
    """Report a known data set, and compare it with its published counts."""
    if catalog.benchmark is None:
        return
    known = catalog.benchmark
    at = ", ".join(map(str, known.recall_at))
    progress.note(f"{catalog.root} is {known.title} in its official layout: {known.protocol}, Recall@{at}")
    deviations = known.deviations(catalog.items)
    if deviations:
        message = f"{catalog.root} is not {known.title} as published: {'; '.join(deviations)}"
        if strict:
            raise CatalogError(message, hint="unpack it again, or run without --strict")
        progress.warn(message)


def _check_files(catalog: Catalog, path: Path, strict: bool) -> None:
    """Check all files if strict, else until one exists: a wrong --root would miss all of them."""
    if path.is_dir() and catalog.benchmark is None and not strict:
        return  # they were listed a moment ago
    missing: list[str] = []
    for item in catalog.items:
        if is_there(catalog.root / item.path):
            if not strict:
                return
        elif strict or not missing:
            missing.append(item.path)
    if strict and catalog.skipped:
        first = catalog.skipped[0]
        raise CatalogError(
            f"entries of {path} that cannot be used: {len(catalog.skipped)}, first {first.path}: {first.reason}",
            hint="correct them, or run without --strict",
        )
    if strict and missing:
        raise CatalogError(
            f"{len(missing)} of the {len(catalog.items)} images of {path} are missing: {', '.join(missing[:3])}",
            hint="run without --strict to skip them",
        )
    if missing:
        reason, hint = why_missing(catalog.root / missing[0])
        raise CatalogError(
            f"none of the {len(catalog.items)} images of {path} exists; the first is {missing[0]}: {reason}", hint=hint
        )
