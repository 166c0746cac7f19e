"""CUB-200-2011 (Wah et al., 2011): the first 100 classes train, the others test; its own split file is not used."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists

BENCHMARK = Benchmark(
    name="cub200",
    title="CUB-200-2011",
    protocol="leave-one-out",
    query_split="test",
    gallery_split="test",
    recall_at=(1, 2, 4, 8),
    published={"train": Published(5864, 100), "test": Published(5924, 100)},
)
_LAST_OF_TRAIN = 100


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return all((root / name).is_file() for name in ("images.txt", "image_class_labels.txt", "classes.txt"))


def items(root: Path) -> Iterator[Item]:
    """Yield lines `image_id path` in images.txt, `image_id class_id` in image_class_labels.txt, `class_id name`."""
    names = dict(lists.rows(root / "classes.txt", 2))
    labels = dict(lists.rows(root / "image_class_labels.txt", 2))
    for image, path in lists.rows(root / "images.txt", 2):
        label = labels.get(image, "")
        split = "train" if lists.number(label, root / "image_class_labels.txt") <= _LAST_OF_TRAIN else "test"
        yield Item(f"images/{path}", names.get(label, label), split=split)
