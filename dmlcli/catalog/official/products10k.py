"""Products-10K (Bai et al., 2020): photos of what a shop sells; train and test share their products."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists

BENCHMARK = Benchmark(
    name="products10k",
    title="Products-10K",
    protocol="query/gallery",
    query_split="test",
    gallery_split="train",
    recall_at=(1, 5, 10),
    published={"train": Published(None, 9691)},
)
_FILES = {"train": "train.csv", "test": "test_kaggletest.csv"}


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return all((root / name).is_file() for name in _FILES.values())


def items(root: Path) -> Iterator[Item]:
    """Yield columns `name,class,group`; those of test lack the group and say whether a row was Public or Private."""
    groups: dict[str, str] = {}
    for split, name in _FILES.items():
        for row in lists.named_rows(root / name):
            product = row.get("class", "")
            group = groups.setdefault(product, row.get("group", ""))
            usage = (("usage", row["Usage"]),) if "Usage" in row else ()
            yield Item(f"{split}/{row.get('name', '')}", product, row.get("group") or group, split, columns=usage)
