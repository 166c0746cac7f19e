"""The noun Catalog: products and their images, from a folder, a table or a known data set; read, checked, split.

items.py     what a catalogue is          opening.py   the door: which reader a path is for
folders.py   folders of products          columns.py   from the columns of a table to items
tables.py    CSV, TSV, JSONL, Parquet     official/    benchmark data sets, one file each
shards.py    tar files of samples, here or by URL
splits.py    what is fitted on, and what validates
"""

from dmlcli.catalog.columns import Columns
from dmlcli.catalog.folders import find_images
from dmlcli.catalog.items import (
    OPEN_TO_TRAINING,
    VALIDATION_SPLITS,
    Benchmark,
    Box,
    Catalog,
    Item,
    Photo,
    Published,
)
from dmlcli.catalog.official import benchmark_of
from dmlcli.catalog.opening import open_catalog
from dmlcli.catalog.splits import TrainingSplit, split_for_comparison, split_for_training

__all__ = [
    "OPEN_TO_TRAINING",
    "VALIDATION_SPLITS",
    "Benchmark",
    "Box",
    "Catalog",
    "Columns",
    "Item",
    "Photo",
    "Published",
    "TrainingSplit",
    "benchmark_of",
    "find_images",
    "open_catalog",
    "split_for_comparison",
    "split_for_training",
]
