"""Grocery Store (Klasson et al., WACV 2019): phone photos from shops, and one studio picture of each product."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists

BENCHMARK = Benchmark(
    name="grocery-store",
    title="Grocery Store",
    protocol="query/gallery",
    query_split="test",
    gallery_split="train",
    recall_at=(1, 5, 10),
    published={
        "train": Published(2640, 81),
        "val": Published(296, None),
        "test": Published(2485, 81),
        "iconic": Published(81, 81),
    },
)
_SPLITS = ("train", "val", "test")
_FINE, _COARSE = "Class ID (int)", "Coarse Class ID (int)"


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    files = [f"{split}.txt" for split in _SPLITS] + ["classes.csv"]
    return all((root / name).is_file() for name in files)


def items(root: Path) -> Iterator[Item]:
    """Yield lines `path, fine_id, coarse_id`; classes.csv names both and holds the path of the studio picture."""
    classes = list(lists.named_rows(root / "classes.csv"))
    fine = {row.get(_FINE, ""): row.get("Class Name (str)", "") for row in classes}
    coarse = {row.get(_COARSE, ""): row.get("Coarse Class Name (str)", "") for row in classes}
    for split in _SPLITS:
        for path, product, category in lists.rows(root / f"{split}.txt", 3, ","):
            yield Item(path, fine.get(product, product), coarse.get(category, category), split)
    for row in classes:
        path = row.get("Iconic Image Path (str)", "").lstrip("/")
        if path:
            yield Item(path, fine[row[_FINE]], coarse[row[_COARSE]], "iconic")
