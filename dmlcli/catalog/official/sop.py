"""Stanford Online Products (Song et al., CVPR 2016): Ebay_train.txt and Ebay_test.txt, classes disjoint."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists

BENCHMARK = Benchmark(
    name="sop",
    title="Stanford Online Products",
    protocol="leave-one-out",
    query_split="test",
    gallery_split="test",
    recall_at=(1, 10, 100, 1000),
    published={"train": Published(59551, 11318), "test": Published(60502, 11316)},
)


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return (root / "Ebay_train.txt").is_file() and (root / "Ebay_test.txt").is_file()


def items(root: Path) -> Iterator[Item]:
    """Yield the items of `image_id class_id super_class_id path` lines below a header."""
    for split in ("train", "test"):
        for _, product, _, path in lists.rows(root / f"Ebay_{split}.txt", 4, skip=1):
            yield Item(path, product, path.partition("/")[0].removesuffix("_final"), split)
