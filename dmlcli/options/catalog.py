"""Which photos, and how a table names them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from dmlcli.arguments import Names as _Names
else:  # what the command line reads
    _Names = list[Path] | None

CatalogPath = Annotated[Path, Argument(help="Folder of products, table of images, or unpacked data set.")]
CatalogPaths = Annotated[
    _Names, Argument(help="Folder of products, table of images, or unpacked data set; or several of them.")
]
CatalogsOrEmbeddings = Annotated[
    _Names,
    Argument(
        help="Folder of products or table of images, or several; or embeddings (a folder, or a file: .npz, .npy, "
        ".parquet, .jsonl)."
    ),
]
MergeProducts = Annotated[
    bool,
    Option(
        "--merge-products",
        panel="Catalog",
        help="Products of the same name in several catalogs are the same; else they are different ones.",
    ),
]
Split = Annotated[str | None, Option(panel="Catalog", help="Use only the images of this split.")]
ImageColumn = Annotated[str | None, Option(panel="Catalog", help="Column with the image paths.")]
ProductColumn = Annotated[str | None, Option(panel="Catalog", help="Column with the product of each image.")]
CategoryColumn = Annotated[
    str | None,
    Option(panel="Catalog", help="Column with the category of each image (the level above product)."),
]
SplitColumn = Annotated[
    str | None,
    Option(panel="Catalog", help="Column with the split of each image: train, val, test, …"),
]
SourceColumn = Annotated[
    str | None,
    Option(panel="Catalog", help="Column with the source of each image: its session or camera."),
]
BoxColumn = Annotated[
    str | None,
    Option(
        panel="Catalog",
        help="Column with a box to crop from each image: left top right bottom; or four columns, with commas.",
    ),
]
Root = Annotated[
    Path | None,
    Option(panel="Catalog", help="Folder that the table's paths are relative to; default: its own folder."),
]
Strict = Annotated[
    bool,
    Option(
        "--strict",
        panel="Catalog",
        help="Stop if a file is missing, or a known data set differs from the published one.",
    ),
]
