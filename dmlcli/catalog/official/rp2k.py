"""RP2K (Peng et al., 2020): cut-outs of shelf photos in all/train/<product>/ and all/test/<product>/."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.folders import walk

BENCHMARK = Benchmark(
    name="rp2k",
    title="RP2K",
    protocol="query/gallery",
    query_split="test",
    gallery_split="train",
    recall_at=(1, 5, 10),
    published={"train": Published(None, 2388)},
)
_SPLITS = ("train", "test")


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return all((root / "all" / split).is_dir() for split in _SPLITS)


def items(root: Path) -> Iterator[Item]:
    """Yield the images; the folder is the product, often with a Chinese name."""
    for split in _SPLITS:
        for folder in walk(root / "all" / split, []):
            product = folder.path.rpartition("/")[2]
            yield from (Item(f"all/{split}/{folder.path}/{name}", product, split=split) for name in folder.images)
