"""What kind of index, and what happens to the one that is there; and what counts as a duplicate in it."""

from typing import Annotated

from dmlcli.options.spec import Option

Auto = Annotated[
    bool,
    Option(
        "--auto",
        help="Measure index types on these vectors and use the fastest; the default from 100,000 images.",
    ),
]
TargetRecall = Annotated[
    float | None,
    Option(min=0.1, max=1, help="Recall@10 that a search must reach.  [default: 0.98]", show_default=False),
]
MaxMemory = Annotated[str | None, Option(help="Memory that a search may take, e.g. 500M or 4G.", show_default=False)]
Factory = Annotated[
    str | None,
    Option(
        help="Index type: a FAISS factory string, e.g. Flat or HNSW32; with --to FLAT, HNSW or AUTOINDEX.",
        show_default=False,
    ),
]
Update = Annotated[
    bool, Option("--update", help="Add new images to the index and remove deleted ones; its type stays.")
]
Prune = Annotated[
    bool,
    Option("--prune", help="Remove deleted images even if they are a fifth of all, or a whole folder."),
]
To = Annotated[
    str | None,
    Option(
        help="Write to a Milvus collection: milvus://host:19530/products, or milvus:./file.db/products (an extra).",
        show_default=False,
    ),
]
Replace = Annotated[bool, Option("--replace", help="With --to: drop the collection's vectors of another model.")]
Threshold = Annotated[float, Option(min=-1, max=1, help="Cosine similarity from which two images are near-identical.")]
WholeProducts = Annotated[
    bool, Option("--products", help="Compare products, by their mean embeddings, instead of images.")
]
