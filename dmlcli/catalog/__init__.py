"""Catalogs: products and their images, from a folder, a table or a known data set.

catalog      the class Catalog and its items
open         which reader a path is for
folders      folders of products
file_names   what the names of files and folders say
tables       which reader a table is for: delimited (CSV, TSV), json_tables, parquet; all return table_data
text_files   encodings
columns      from the columns of a table to items
cells        what image and product cells mean
numbers      which columns are numbers
shards       tar files of samples
official/    benchmark data sets, one file each
union        several catalogs as one
splits       which images are fitted on, and which validate
"""

from dmlcli.catalog.catalog import OPEN_TO_TRAINING, VALIDATION_SPLITS, Benchmark, Catalog, Item, Photo, Published
from dmlcli.catalog.columns import Columns
from dmlcli.catalog.folders import find_images
from dmlcli.catalog.official import benchmark_of
from dmlcli.catalog.open import open_catalog
from dmlcli.catalog.splits import TrainingSplit, split_for_training
from dmlcli.catalog.union import open_catalogs, open_parts
from dmlcli.types import Box

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
    "open_catalogs",
    "open_parts",
    "split_for_training",
]
