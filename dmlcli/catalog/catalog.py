"""Catalog, item, split and box; the published facts about a known data set."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from dmlcli.errors import UsageError, nearest
from dmlcli.image import cropped, read_file
from dmlcli.report.skipped import Skipped
from dmlcli.types import Box

VALIDATION_SPLITS = ("val", "valid", "validation", "dev")  # names of splits that are validated on
OPEN_TO_TRAINING = ("", "train", *VALIDATION_SPLITS)  # names of splits that training may see
_OTHER_NAMES = {"training": "train", "testing": "test"}


def split_name(text: str) -> str:
    """Return the name of a split as it is compared: lower case, train for training, test for testing."""
    name = text.strip().lower()
    return _OTHER_NAMES.get(name, name)


class Item(NamedTuple):
    """One image of a catalog: its path relative to the root, its product ("" where unknown), and more if known."""

    path: str
    product: str
    category: str = ""
    split: str = ""
    source: str = ""  # session, camera or series: images of one are alike for other reasons than the product
    columns: tuple[tuple[str, str], ...] = ()  # the user's own, in their order
    box: Box | None = None  # the part of the upright image that shows the product; None: all of it


class Photo(NamedTuple):
    """The image file of an item, and the part of the file that it is."""

    path: Path
    box: Box | None

    def read_bytes(self) -> bytes:
        """Return the image file, cut to the box where there is one; raises ImageError where that cannot be."""
        data = read_file(self.path)
        return data if self.box is None else cropped(data, self.box)


class Published(NamedTuple):
    """Published numbers of images and products of a split; None if unknown."""

    images: int | None
    products: int | None


@dataclass(frozen=True)
class Benchmark:
    """A known data set, with the protocol and the metrics of the literature."""

    name: str
    title: str
    protocol: Literal["leave-one-out", "query/gallery"]
    query_split: str  # in leave-one-out both are the one split that is searched in itself
    gallery_split: str
    recall_at: tuple[int, ...]
    published: dict[str, Published]  # by split
    exclude_same_source: bool = False  # candidates of the query's own product and source (camera) do not count

    def deviations(self, items: list[Item]) -> list[str]:
        """Return a sentence for each split whose counts differ from the published ones."""
        images: dict[str, int] = defaultdict(int)
        products: dict[str, set[str]] = defaultdict(set)
        for item in items:
            images[item.split] += 1
            products[item.split].add(item.product)
        found = []
        for split, expected in self.published.items():
            counts = (images[split], len(products[split] - {""}))
            published = [
                f"{n:,} {name}" for n, name in zip(expected, ("images", "products"), strict=True) if n is not None
            ]
            if any(n not in (None, count) for n, count in zip(expected, counts, strict=True)):
                here = f"{counts[0]:,} images of {counts[1]:,} products"
                found.append(f"split {split} has {here}, published: {' of '.join(published)}")
        return found


@dataclass(frozen=True)
class Catalog:
    """Products with their images; `skipped` are files with an image suffix that cannot be images."""

    root: Path
    items: list[Item]
    skipped: list[Skipped] = field(default_factory=list)
    benchmark: Benchmark | None = None  # where this is a known data set in its official layout

    def photo(self, item: Item) -> Photo:
        """Return the image file of an item."""
        return Photo(self.root / item.path, item.box)

    def without_test(self) -> "Catalog":
        """Return the part that training may use: all of it without splits, else train and validation."""
        return replace(self, items=[item for item in self.items if item.split in OPEN_TO_TRAINING])

    def only(self, *splits: str | None) -> "Catalog":
        """Return the catalog with only the given splits, all for none; raises UsageError for an empty one."""
        wanted = {split_name(split) for split in splits if split is not None}
        if not wanted:
            return self
        known = {item.split for item in self.items} - {""}
        for split in sorted(wanted - known):
            hint = nearest(split, sorted(known)) if known else "specify the column with --split-column"
            raise UsageError(f"no image of {self.root} has split '{split}'", hint=hint)
        return replace(self, items=[item for item in self.items if item.split in wanted])
