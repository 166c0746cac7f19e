"""PKU VehicleID (Liu et al., CVPR 2016): three test sets of 800, 1,600 and 2,400 vehicles.

Each test set has splits of its own (query-800, gallery-800, …), and an image in several of them is an item of each. The
first image of a vehicle in a list is its gallery, the others are queries.
"""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists

_SIZES = (800, 1600, 2400)
BENCHMARK = Benchmark(
    name="vehicle-id",
    title="PKU VehicleID",
    protocol="query/gallery",
    query_split="query-800",
    gallery_split="gallery-800",
    recall_at=(1, 5),
    published={"train": Published(113346, 13164)} | {f"gallery-{size}": Published(size, size) for size in _SIZES},
)
_LISTS = Path("train_test_split")


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return (root / _LISTS / "train_list.txt").is_file() and (root / "image").is_dir()


def items(root: Path) -> Iterator[Item]:
    """Yield lines `name vehicle_id`; the image is image/<name>.jpg."""
    for name, product in lists.rows(root / _LISTS / "train_list.txt", 2):
        yield Item(f"image/{name}.jpg", product, split="train")
    for size in _SIZES:
        in_gallery: set[str] = set()
        for name, product in lists.rows(root / _LISTS / f"test_list_{size}.txt", 2):
            role = "query" if product in in_gallery else "gallery"
            in_gallery.add(product)
            yield Item(f"image/{name}.jpg", product, split=f"{role}-{size}")
