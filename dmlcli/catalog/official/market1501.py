"""Market-1501 (Zheng et al., ICCV 2015)."""

from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Published
from dmlcli.catalog.official import identities
from dmlcli.catalog.official.identities import items

__all__ = ["BENCHMARK", "is_here", "items"]

BENCHMARK = Benchmark(
    name="market1501",
    title="Market-1501",
    protocol="query/gallery",
    query_split="query",
    gallery_split="gallery",
    recall_at=(1, 5, 10),
    published={
        "train": Published(12936, 751),
        "query": Published(3368, 750),
        "gallery": Published(15913, None),
    },
    exclude_same_source=True,
)


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return identities.is_here(root, mark="s")
