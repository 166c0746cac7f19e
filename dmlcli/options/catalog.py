"""Which photos, and how a table names them."""

from pathlib import Path
from typing import Annotated

from dmlcli.options.spec import Argument, Option

CatalogPath = Annotated[
    Path, Argument(help="Folder of products, table of images, or unpacked data set.", show_default=False)
]
CatalogOrEmbeddings = Annotated[
    Path | None,
    Argument(
        help="Folder of products, table of images, or embeddings (a folder, or a file: .npz, .npy, .parquet, .jsonl).",
        show_default=False,
    ),
]
Split = Annotated[str | None, Option(help="Only the images of this split.", show_default=False)]
ImageColumn = Annotated[str | None, Option(help="Column of a table with the image paths.", show_default=False)]
ProductColumn = Annotated[str | None, Option(help="Column with the product of each image.", show_default=False)]
CategoryColumn = Annotated[str | None, Option(help="Column with the level above product.", show_default=False)]
SplitColumn = Annotated[str | None, Option(help="Column that says train, val, test, …", show_default=False)]
SourceColumn = Annotated[str | None, Option(help="Column with the session or camera.", show_default=False)]
BoxColumn = Annotated[
    str | None,
    Option(
        help="Column with the part of the image to cut out: left top right bottom; or four, with commas.",
        show_default=False,
    ),
]
Root = Annotated[
    Path | None, Option(help="What a table's paths are relative to; else its own folder.", show_default=False)
]
Strict = Annotated[
    bool, Option("--strict", help="Stop where a file is missing, or a known data set is not as published.")
]
