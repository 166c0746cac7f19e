"""DeepFashion In-Shop Clothes Retrieval (Liu et al., CVPR 2016): queries and gallery of their own."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Item, Published
from dmlcli.catalog.official import lists

BENCHMARK = Benchmark(
    name="inshop",
    title="In-Shop Clothes Retrieval",
    protocol="query/gallery",
    query_split="query",
    gallery_split="gallery",
    recall_at=(1, 10, 20, 30),
    published={
        "train": Published(25882, 3997),
        "query": Published(14218, 3985),
        "gallery": Published(12612, 3985),
    },
)
_PARTITION = "list_eval_partition.txt"


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return _partition(root).is_file()


def items(root: Path) -> Iterator[Item]:
    """Yield lines `image_name item_id evaluation_status`, padded, below a count and a header.

    The name says more: img/WOMEN/Dresses/id_00000002/02_1_front.jpg is a dress, seen from the front.
    """
    for path, product, split in lists.rows(_partition(root), 3, skip=2):
        folders = path.split("/")
        pose = folders[-1].rpartition(".")[0].split("_", 2)[-1]
        yield Item(f"{_images(root)}{path}", product, "/".join(folders[1:-2]), split, columns=(("pose", pose),))


def _partition(root: Path) -> Path:
    """Return the file of the split, where the archive has it, or at the top."""
    official = root / "Eval" / _PARTITION
    return official if official.is_file() else root / _PARTITION


def _images(root: Path) -> str:
    return "Img/" if (root / "Img" / "img").is_dir() or not (root / "img").is_dir() else ""
