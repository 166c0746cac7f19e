"""What kind of index, and what happens to the one that is there; and what counts as a duplicate in it."""

from pathlib import Path
from typing import Annotated, Literal

from dmlcli.options.spec import Option

Auto = Annotated[
    bool,
    Option(
        "--auto",
        panel="Index",
        help="Measure index types on these vectors and use the fastest; the default from 100,000 images.",
    ),
]
TargetRecall = Annotated[
    float | None,
    Option(panel="Index", min=0.1, max=1, help="Recall@10 that a search must reach.  [default: 0.98]"),
]
MaxMemory = Annotated[str | None, Option(panel="Index", help="Memory that a search may take, e.g. 500M or 4G.")]
Factory = Annotated[
    str | None,
    Option(
        panel="Index",
        help="Index type: a FAISS factory string, e.g. Flat or HNSW32; with --to FLAT, HNSW or AUTOINDEX.",
    ),
]
Update = Annotated[
    bool, Option("--update", panel="Index", help="Add new images to the index and remove deleted ones; its type stays.")
]
Prune = Annotated[
    bool,
    Option(
        "--prune", panel="Catalog", help="Remove deleted images even if they are a fifth of all, or a whole folder."
    ),
]
To = Annotated[
    str | None,
    Option(
        panel="Index",
        help="Write to a Milvus collection: milvus://host:19530/products, or milvus:./file.db/products (an extra).",
    ),
]
Replace = Annotated[
    bool, Option("--replace", panel="Index", help="With --to: drop the collection's vectors of another model.")
]
Threshold = Annotated[
    float, Option(panel="Index", min=-1, max=1, help="Cosine similarity from which two images are near-identical.")
]
ComparedBy = Annotated[
    Literal["features", "pixels"] | None,
    Option(
        "--by",
        panel="Index",
        help="Compare frozen features, or also pixels.  [default: pixels for a trained model, else features]",
    ),
]
DuplicatesPage = Annotated[
    Path | None, Option("--html", panel="Output", help="Also write the groups as one HTML page, with photos.")
]
WholeProducts = Annotated[
    bool, Option("--products", panel="Index", help="Compare products, by their mean embeddings, instead of images.")
]
