"""The noun Catalog: products and their images, from a folder or a manifest; reading, checking, splitting."""

import os
import random
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dmlcli import progress
from dmlcli.errors import CatalogError, UsageError, nearest
from dmlcli.image import SNIFF_LENGTH, is_image
from dmlcli.report import Skipped

if TYPE_CHECKING:
    import pandas as pd

_USUAL_NAMES = {
    "image": ("image", "path", "file", "filename", "image_path", "file_path", "filepath", "img", "image_name", "photo"),
    "product": ("product", "label", "product_id", "item", "item_id", "sku", "class", "class_id", "identity", "id"),
    "category": ("category", "super_class", "superclass", "group", "super_class_id"),
    "split": ("split", "subset", "partition", "evaluation_status"),
    "source": ("source", "session", "camera"),
}
_SPLIT_FOLDERS = {"train", "val", "valid", "validation", "test", "query", "gallery"}
VALIDATION_SPLITS = ("val", "valid", "validation", "dev")
OPEN_TO_TRAINING = ("", "train", *VALIDATION_SPLITS)
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic"}
_SMALLEST_HOLD_OUT = 4  # products; with fewer, a validation score says nothing


class Item(NamedTuple):
    """One image of a catalogue: its path relative to the root, its product ("" where unknown), and more if known."""

    path: str
    product: str
    category: str = ""
    split: str = ""
    source: str = ""
    columns: tuple[tuple[str, str], ...] = ()  # the user's own, in their order


@dataclass(frozen=True)
class Columns:
    """The names of a manifest's columns; None means: found by the usual names."""

    image: str | None = None
    product: str | None = None
    category: str | None = None
    split: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Catalog:
    """Products with their images; `skipped` are files that cannot be images though they are called so."""

    root: Path
    items: list[Item]
    skipped: list[Skipped] = field(default_factory=list)

    def without_test(self) -> "Catalog":
        """What training may open: all of it where there are no splits, else train and validation alone."""
        return Catalog(self.root, [item for item in self.items if item.split in OPEN_TO_TRAINING], self.skipped)

    def only(self, *splits: str | None) -> "Catalog":
        """The part in any of the splits, all of it where none is named; raises UsageError for one that is empty."""
        wanted = {split.lower() for split in splits if split is not None}
        if not wanted:
            return self
        known = {item.split for item in self.items} - {""}
        for split in sorted(wanted - known):
            hint = nearest(split, sorted(known)) if known else "name the column with --split-column"
            raise UsageError(f"no image of {self.root} has split '{split}'", hint=hint)
        return Catalog(self.root, [item for item in self.items if item.split in wanted], self.skipped)


@dataclass(frozen=True)
class TrainingSplit:
    """Rows of a catalogue to fit on and rows to validate with; the same rows twice mean leave-one-out."""

    fit: list[int]
    queries: list[int]
    gallery: list[int]
    held_out: list[str]  # products that are not fitted on
    how: str


def open_catalog(
    path: Path, columns: Columns | None = None, root: Path | None = None, *, for_training: bool = False
) -> Catalog:
    """Read a folder of products or a manifest (CSV, TSV).

    Args:
        path: a folder (`root/<product>/*` at any depth: the product is the last folder, the category the one above),
            or a table with a column of image paths.
        columns: names of a table's columns where they are not the usual ones.
        root: what a table's paths are relative to; its own folder by default.
        for_training: leave out the splits that training may not open, without so much as a look at their files.

    Errors: CatalogError where there is nothing to read, UsageError for a column that does not exist.
    """
    path = Path(path)
    if path.is_dir():
        catalog = _read_folder(path, for_training)
    elif path.is_file():
        whole = _read_table(path, columns or Columns(), Path(root or path.parent))
        catalog = whole.without_test() if for_training else whole
        if whole.items and not catalog.items:
            found = ", ".join(sorted({item.split for item in whole.items}))
            raise CatalogError(
                f"no image of {path} has split train; there is {found}", hint="--split-column NAME names another"
            )
    else:
        raise CatalogError(f"there is no folder or table {path}", hint="name a folder with one sub-folder per product")
    if not catalog.items:
        raise CatalogError(
            f"no image was found in {path}", hint="a catalogue is a folder with one sub-folder per product"
        )
    return catalog


def find_images(path: Path) -> Iterator[Path]:
    """A file as it is; of a folder the images inside, and what is only called so, for its reader to complain of."""
    if path.is_dir():
        yield from (file for file in _walk(path) if _sniff(file) or file.suffix.lower() in _SUFFIXES)
    else:
        yield path


def split_for_training(catalog: Catalog, seed: int, share: float = 0.2) -> TrainingSplit:
    """Choose what to fit on and what to validate with; a split called test (or query, gallery) is never touched.

    With a split column: fit on `train`, search `val` in it (in itself where its products are new). Without: hold out
    whole products, about `share` of those with two images or more, and search among their images.

    Errors: CatalogError where fewer than two products can be fitted on.
    """
    by_split = defaultdict(list)
    for row, item in enumerate(catalog.items):
        if item.product:
            by_split[item.split].append(row)
    named = set(by_split) - {""}
    rows = by_split["train"] if named else by_split[""]
    validation = [row for name in VALIDATION_SPLITS for row in by_split[name]] if named else []
    split = _with_validation(catalog, rows, validation) if validation else _hold_out(catalog, rows, seed, share)
    if len({catalog.items[row].product for row in split.fit}) < 2:
        raise CatalogError(
            "training needs images of at least two products",
            hint="put each product's images into a folder of its own, or name the column with --product-column",
        )
    return split


def split_for_comparison(catalog: Catalog, seed: int) -> TrainingSplit:
    """Fit on half of the products, search among the other half: by split `val` in `train`, else leave-one-out.

    Errors: CatalogError where either half would have fewer than two products.
    """
    training = split_for_training(catalog, seed)
    fit = {*training.fit, *(row for row in training.queries if not training.held_out)}
    rows = sorted({*fit, *training.queries, *training.gallery})
    counts = Counter(catalog.items[row].product for row in rows)
    several = sorted(product for product, count in counts.items() if count > 1)
    new = set(random.Random(seed).sample(several, len(several) // 2))
    if min(len(new), len(counts) - len(new)) < 2:
        raise CatalogError(
            "a comparison needs four products or more, two images of each", hint="dmlcli train takes fewer"
        )
    queries = [row for row in rows if catalog.items[row].product in new]
    gallery = queries
    if any(catalog.items[row].split in VALIDATION_SPLITS for row in queries):
        gallery = [row for row in queries if catalog.items[row].split not in VALIDATION_SPLITS]
        queries = [row for row in queries if catalog.items[row].split in VALIDATION_SPLITS]
    known = [row for row in rows if catalog.items[row].product not in new and row in fit]
    how = "leave-one-out" if queries is gallery else f"{len(queries)} images of split val searched in {len(gallery)}"
    return TrainingSplit(known, queries, gallery, sorted(new), f"{how} among {len(new)} new products")


def _with_validation(catalog: Catalog, rows: list[int], validation: list[int]) -> TrainingSplit:
    fitted = {catalog.items[row].product for row in rows}
    known = [row for row in validation if catalog.items[row].product in fitted]
    if len(known) * 2 > len(validation):
        return TrainingSplit(rows, known, rows, [], f"{len(known)} images of split val searched among split train")
    new = [row for row in validation if catalog.items[row].product not in fitted]
    held_out = sorted({catalog.items[row].product for row in new})
    return TrainingSplit(rows, new, new, held_out, f"leave-one-out among {len(held_out)} new products of split val")


def _hold_out(catalog: Catalog, rows: list[int], seed: int, share: float) -> TrainingSplit:
    counts = Counter(catalog.items[row].product for row in rows)
    several = sorted(product for product, count in counts.items() if count > 1)
    number = round(share * len(several))
    if number < _SMALLEST_HOLD_OUT:
        return TrainingSplit(rows, [], [], [], f"none: {len(several)} products with two images or more are too few")
    held_out = sorted(random.Random(seed).sample(several, number))
    chosen = set(held_out)
    fit = [row for row in rows if catalog.items[row].product not in chosen]
    queries = [row for row in rows if catalog.items[row].product in chosen]
    return TrainingSplit(fit, queries, queries, held_out, f"leave-one-out among {number} held-out products")


def _read_folder(root: Path, for_training: bool) -> Catalog:
    files = [file.relative_to(root) for file in _walk(root)]
    # train/<product>/*, test/<product>/*: the first folders are splits where all are called so
    split_folders = all(len(file.parts) > 2 and file.parts[0].lower() in _SPLIT_FOLDERS for file in files)
    items, skipped = [], []
    for file in files:
        *above, product = file.parts[:-1] or ("",)
        split = above.pop(0).lower() if split_folders else ""
        if for_training and split not in OPEN_TO_TRAINING:
            continue
        if _sniff(root / file):
            items.append(Item(str(file), product, "/".join(above), split))
        elif file.suffix.lower() in _SUFFIXES:
            reason = "not an image inside" if (root / file).stat().st_size else "the file is empty"
            skipped.append(Skipped(str(root / file), reason))
    _warn_of_homonyms(items)
    return Catalog(root.resolve(), items, skipped)


def _warn_of_homonyms(items: list[Item]) -> None:
    categories = defaultdict(set)
    for item in items:
        categories[item.product].add(item.category)
    for product, found in sorted(categories.items()):
        if product and len(found) > 1:
            progress.warn(
                f"product '{product}' lies in {len(found)} categories ({', '.join(sorted(found))}): taken as one"
            )


def _walk(folder: Path) -> Iterator[Path]:
    """Regular files below `folder` in a fixed order; hidden ones, and folders seen before by a link, are left out."""
    seen = set()
    stack = [str(folder)]
    while stack:
        here = stack.pop()
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        try:
            entries = sorted(
                (entry for entry in os.scandir(here) if not entry.name.startswith(".")), key=lambda e: e.name
            )
        except PermissionError as error:
            raise CatalogError(f"the folder {here} may not be read") from error
        yield from (Path(entry.path) for entry in entries if _leads(entry, to_folder=False))
        stack += [entry.path for entry in reversed(entries) if _leads(entry, to_folder=True)]


def _leads(entry: "os.DirEntry[str]", *, to_folder: bool) -> bool:
    try:
        return entry.is_dir() if to_folder else entry.is_file()
    except OSError:  # a link that leads to itself leads nowhere
        return False


def _sniff(file: Path) -> bool:
    """Whether a regular file begins like an image; a FIFO or device is never opened."""
    if not stat.S_ISREG(file.stat().st_mode):
        return False
    try:
        with file.open("rb") as stream:
            return is_image(stream.read(SNIFF_LENGTH))
    except OSError:
        return True  # reading it will fail again where failures are listed


def _read_table(file: Path, columns: Columns, root: Path) -> Catalog:
    import pandas as pd

    try:
        table = pd.read_csv(file, sep=_separator(file), dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise CatalogError(f"{file} cannot be read as a table: {str(error).splitlines()[0]}") from error
    names = {role: _column(table, role, getattr(columns, role), file) for role in _USUAL_NAMES}
    own = [column for column in table.columns if column not in set(names.values())]

    def values(column: str | None) -> list[str]:
        return [value.strip() for value in table[column]] if column else [""] * len(table)

    extra = (
        [tuple(zip(own, row, strict=True)) for row in zip(*(table[c] for c in own), strict=True)]
        if own
        else [()] * len(table)
    )
    rows = zip(*(values(names[role]) for role in _USUAL_NAMES), extra, strict=True)
    items = [Item(*row)._replace(split=row[3].lower()) for row in rows if row[0]]
    if items and not any((root / item.path).exists() for item in items):
        raise CatalogError(
            f"none of the {len(items)} images of {file} exists, the first would be {root / items[0].path}",
            hint="--root DIR says what the paths are relative to",
        )
    return Catalog(root.resolve(), items)


def _separator(file: Path) -> str:
    """The mark between the columns: whichever of comma, semicolon and tab the first line has most of."""
    with file.open(encoding="utf-8-sig") as stream:
        header = stream.readline()
    return "\t" if file.suffix.lower() in (".tsv", ".tab") else max(",;\t", key=header.count)


def _column(table: "pd.DataFrame", role: str, named: str | None, file: Path) -> str | None:
    """The column for a role: the named one, else the first with a usual name, else None (but images are a must)."""
    columns = [str(column) for column in table.columns]
    if named is not None:
        if named not in columns:
            raise UsageError(f"{file} has no column '{named}'", hint=nearest(named, columns))
        return named
    lower = {column.lower().strip().replace(" ", "_"): column for column in columns}
    found = next((lower[usual] for usual in _USUAL_NAMES[role] if usual in lower), None)
    if found is None and role == "image":
        raise CatalogError(
            f"{file} has no column of image paths; it has {', '.join(columns)}",
            hint="--image-column NAME says which it is",
        )
    return found
