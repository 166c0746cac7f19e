"""What kind of index, and what happens to the one that is there; and what counts as a duplicate in it."""

from typing import Annotated

from dmlcli.options.spec import Option

Auto = Annotated[
    bool,
    Option(
        "--auto",
        help="Measure kinds of index on these vectors, take the quickest to build and ask; by itself from 100,000.",
    ),
]
TargetRecall = Annotated[
    float | None,
    Option(
        min=0.1, max=1, help="Share of the ten nearest that a search must find.  [default: 0.98]", show_default=False
    ),
]
MaxMemory = Annotated[
    str | None, Option(help="What the index may need to be searched, e.g. 500M or 4G.", show_default=False)
]
Factory = Annotated[
    str | None,
    Option(
        help="Make this kind: a FAISS factory string, e.g. Flat or HNSW32; with --to FLAT, HNSW or AUTOINDEX.",
        show_default=False,
    ),
]
Update = Annotated[
    bool, Option("--update", help="Add what is new to the index and remove what is gone; its kind stays.")
]
Prune = Annotated[
    bool,
    Option("--prune", help="Remove what is gone even where that is a fifth of the images, or a whole folder."),
]
To = Annotated[
    str | None,
    Option(
        help="Into a Milvus collection: milvus://host:19530/products, or milvus:./file.db/products (an extra).",
        show_default=False,
    ),
]
Replace = Annotated[bool, Option("--replace", help="With --to: drop what the collection holds of another model.")]
Threshold = Annotated[float, Option(min=-1, max=1, help="Cosine from which two count as near-identical.")]
WholeProducts = Annotated[
    bool, Option("--products", help="Compare products, by the mean of their images, instead of images.")
]
