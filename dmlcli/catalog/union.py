"""Several catalogs as one: products stay apart by catalog, unless they are the same ones."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from dmlcli import progress
from dmlcli.catalog.catalog import Catalog, Item
from dmlcli.catalog.columns import Columns
from dmlcli.catalog.open import open_catalog
from dmlcli.errors import CatalogError, UsageError

_SHOWN = 3  # names in a note


class Part(NamedTuple):
    """One of several catalogs, with the products and the root of all of them."""

    name: str  # empty for a catalog alone
    catalog: Catalog


def open_catalogs(
    paths: Sequence[Path],
    columns: Columns | None = None,
    root: Path | None = None,
    *,
    for_training: bool = False,
    strict: bool = False,
    merge_products: bool = False,
) -> Catalog:
    """Read one catalog, or several as one.

    Args:
        paths: one or more, each as `open_catalog` takes it.
        columns: names of the columns of tables.
        root: what the paths in tables are relative to.
        for_training: leave out the splits that training may not use.
        strict: refuse an incomplete catalog.
        merge_products: products of the same name are the same one.

    Raises:
        CatalogError: one of them is not a catalog, or is on a server.
        UsageError: a photo is in two of them, or an option has no effect.
    """
    parts = open_parts(paths, columns, root, for_training=for_training, strict=strict, merge_products=merge_products)
    first = parts[0].catalog
    if len(parts) == 1:
        return first
    catalogs = [part.catalog for part in parts]
    return Catalog(
        first.root, [item for one in catalogs for item in one.items], [skip for one in catalogs for skip in one.skipped]
    )


def open_parts(
    paths: Sequence[Path],
    columns: Columns | None = None,
    root: Path | None = None,
    *,
    for_training: bool = False,
    strict: bool = False,
    merge_products: bool = False,
) -> list[Part]:
    """Read one catalog, or several that are parts of one: in each, paths are relative to the root of all.

    A product name that occurs in several catalogs names several products: each is then called CATALOG/NAME, as is a
    source. If some of the catalogs have splits, the photos of the others are of split train.

    Args:
        paths, columns, root, for_training, strict, merge_products: as `open_catalogs` takes them; so are the errors.
    """
    if len(paths) == 1:
        if merge_products:
            raise UsageError("--merge-products needs several catalogs", hint="remove it")
        return [Part("", open_catalog(paths[0], columns, root, for_training=for_training, strict=strict))]
    opened = [open_catalog(path, columns, root, for_training=for_training, strict=strict) for path in paths]
    for path, one in zip(paths, opened, strict=True):
        if "://" in str(one.root) or ":/" in str(one.root):
            raise CatalogError(f"{path} is on a server: it can only be read alone", hint="download it first")
    return _joined(_names(paths), opened, merge_products=merge_products)


def _joined(names: Sequence[str], catalogs: Sequence[Catalog], *, merge_products: bool) -> list[Part]:
    """Return the catalogs with paths relative to the folder that contains them all."""
    root = Path(os.path.commonpath([one.root.absolute() for one in catalogs]))
    products = _in_several([{item.product for item in one.items} for one in catalogs])
    sources = _in_several([{item.source for item in one.items} for one in catalogs])
    has_splits = [any(item.split for item in one.items) for one in catalogs]
    parts: list[Part] = []
    for name, one, named in zip(names, catalogs, has_splits, strict=True):
        items: list[Item] = []
        for item in one.items:
            product = f"{name}/{item.product}" if item.product in products and not merge_products else item.product
            source = f"{name}/{item.source}" if item.source in sources else item.source
            split = "train" if any(has_splits) and not named else item.split
            path = os.path.relpath(one.root.absolute() / item.path, root)
            items.append(item._replace(path=path, product=product, source=source, split=split))
        parts.append(Part(name, replace(one, root=root, items=items, benchmark=None)))
    _check_once([item for part in parts for item in part.catalog.items])
    _note_shared(sorted(products), names, merge_products=merge_products)
    return parts


def _in_several(sets: Sequence[set[str]]) -> set[str]:
    """Return what is in more than one of the sets."""
    counts = Counter(value for values in sets for value in values - {""})
    return {value for value, count in counts.items() if count > 1}


def _check_once(items: Sequence[Item]) -> None:
    """Raise UsageError where a photo is in two catalogs; a table may list parts of one photo, with their boxes."""
    counts = Counter((item.path, item.box) for item in items)
    twice = next((path for (path, _), count in counts.items() if count > 1), None)
    if twice is not None:
        raise UsageError(f"a photo is listed twice in these catalogs: {twice}", hint="name each catalog once")


def _note_shared(products: Sequence[str], names: Sequence[str], *, merge_products: bool) -> None:
    if products:
        shown = ", ".join(products[:_SHOWN]) + (", …" if len(products) > _SHOWN else "")
        number = f"{len(products)} product {'name is' if len(products) == 1 else 'names are'} in several catalogs"
        apart = f"different products, named {names[0]}/{products[0]} and so on (--merge-products makes them the same)"
        progress.note(f"{number} ({shown}): {'the same products' if merge_products else apart}")


def _names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each catalog: that of its folder or file, with the folders above where two are alike."""
    whole = [Path(os.path.normpath(path.absolute())) for path in paths]
    if len({*whole}) < len(whole):
        raise UsageError("a catalog is named twice", hint="name each catalog once")
    parts = [[*path.parent.parts[1:], path.stem if path.is_file() else path.name] for path in whole]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len({*names}) == len(names):
            return names
    return [str(path) for path in whole]
