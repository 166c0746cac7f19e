"""What a catalog is: items with their products, splits and boxes, and what is published about a known data set."""

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
    """Where the picture of an item lies, and which part of the file it is."""

    path: Path
    box: Box | None

    def read_bytes(self) -> bytes:
        """The image file, cut to the box where there is one; raises ImageError where that cannot be."""
        data = read_file(self.path)
        return data if self.box is None else cropped(data, self.box)


class Published(NamedTuple):
    """How many images and products a split has by its authors; None where they do not say."""

    images: int | None
    products: int | None


@dataclass(frozen=True)
class Benchmark:
    """A known data set: how its authors and everyone since score a search in it."""

    name: str
    title: str
    protocol: Literal["leave-one-out", "query/gallery"]
    query_split: str  # in leave-one-out both are the one split that is searched in itself
    gallery_split: str
    recall_at: tuple[int, ...]
    published: dict[str, Published]  # by split
    exclude_same_source: bool = False  # candidates of the query's own product and source (camera) do not count

    def deviations(self, items: list[Item]) -> list[str]:
        """How the items differ from what is published, one sentence a split; none where they do not."""
        images: dict[str, int] = defaultdict(int)
        products: dict[str, set[str]] = defaultdict(set)
        for item in items:
            images[item.split] += 1
            products[item.split].add(item.product)
        found = []
        for split, expected in self.published.items():
            counts = (images[split], len(products[split] - {""}))
            said = [f"{n:,} {what}" for n, what in zip(expected, ("images", "products"), strict=True) if n is not None]
            if any(n not in (None, count) for n, count in zip(expected, counts, strict=True)):
                here = f"{counts[0]:,} images of {counts[1]:,} products"
                found.append(f"split {split} has {here}, published are {' of '.join(said)}")
        return found


@dataclass(frozen=True)
class Catalog:
    """Products with their images; `skipped` are files that cannot be images though they are called so."""

    root: Path
    items: list[Item]
    skipped: list[Skipped] = field(default_factory=list)
    benchmark: Benchmark | None = None  # where this is a known data set in its official layout

    def photo(self, item: Item) -> Photo:
        """Where the picture of an item lies."""
        return Photo(self.root / item.path, item.box)

    def without_test(self) -> "Catalog":
        """What training may open: all of it where there are no splits, else train and validation alone."""
        return replace(self, items=[item for item in self.items if item.split in OPEN_TO_TRAINING])

    def only(self, *splits: str | None) -> "Catalog":
        """The part in any of the splits, all of it where none is named; raises UsageError for one that is empty."""
        wanted = {split_name(split) for split in splits if split is not None}
        if not wanted:
            return self
        known = {item.split for item in self.items} - {""}
        for split in sorted(wanted - known):
            hint = nearest(split, sorted(known)) if known else "name the column with --split-column"
            raise UsageError(f"no image of {self.root} has split '{split}'", hint=hint)
        return replace(self, items=[item for item in self.items if item.split in wanted])
