"""Catalog: products and their images, from a folder, a table or a known data set; read, checked, split.

items.py     what a catalog is            opening.py   which reader a path is for
folders.py   folders of products          names.py     what the names of files and folders say
tables.py    which reader a table is for: delimited.py (CSV, TSV), json_tables.py, parquet.py; all make a table.py
text.py      encodings                    columns.py   from the columns of a table to items
cells.py     what image and product cells mean         numbers.py   which columns are numbers
shards.py    tar files of samples         official/    benchmark data sets, one file each
splits.py    what is fitted on, and what validates
"""

from dmlcli.catalog.catalog import OPEN_TO_TRAINING, VALIDATION_SPLITS, Benchmark, Box, Catalog, Item, Photo, Published
from dmlcli.catalog.columns import Columns
from dmlcli.catalog.folders import find_images
from dmlcli.catalog.official import benchmark_of
from dmlcli.catalog.open import open_catalog
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
