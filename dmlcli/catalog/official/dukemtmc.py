"""DukeMTMC-reID (Ristani et al., 2016; Zheng et al., ICCV 2017)."""

from pathlib import Path

from dmlcli.catalog.catalog import Benchmark, Published
from dmlcli.catalog.official import identities
from dmlcli.catalog.official.identities import items

__all__ = ["BENCHMARK", "is_here", "items"]

BENCHMARK = Benchmark(
    name="dukemtmc",
    title="DukeMTMC-reID",
    protocol="query/gallery",
    query_split="query",
    gallery_split="gallery",
    recall_at=(1, 5, 10),
    published={
        "train": Published(16522, 702),
        "query": Published(2228, 702),
        "gallery": Published(17661, None),
    },
    exclude_same_source=True,
)


def is_here(root: Path) -> bool:
    """Return whether the folder holds this data set."""
    return identities.is_here(root, mark="_f")
