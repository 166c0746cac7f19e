"""What a training step sees."""

from typing import Annotated, Literal

from dmlcli.options.spec import Option

BatchSize = Annotated[
    int | None,
    Option(min=2, help="Batch size.  [default: 256, where the backbone is trained 64]", show_default=False),
]
Sampler = Annotated[
    Literal["random", "balanced", "pk", "category-pk", "n-pair"] | None,
    Option(help="How batches are sampled.  [default: as loss and catalog need]", show_default=False),
]
ImagesPerProduct = Annotated[
    int | None,
    Option(
        min=2,
        help="Images per product (K) of the samplers pk and category-pk.  [default: 4, or as products have]",
        show_default=False,
    ),
]
Memory = Annotated[
    str | None,
    Option(
        help="Cross-batch memory: number of past embeddings to compare with: 8192, or 8192:start=500 (batches).",
        show_default=False,
    ),
]
Views = Annotated[
    int | None,
    Option(
        min=1,
        max=64,
        help="Views of each training image: plain, mirrored, then random crops.  [default: 2]",
        show_default=False,
    ),
]
Augment = Annotated[
    Literal["none", "light", "retrieval", "reid", "strong"] | None,
    Option(
        help="Augmentation: none, light crops and light, crops alone (retrieval), hidden parts (reid), strong.  "
        "[default: light]",
        show_default=False,
    ),
]
Decode = Annotated[
    Literal["fast", "exact"] | None,
    Option(
        help="Decode large JPEGs at twice the size needed (fast) or fully (exact); kept in the model.  [default: fast]",
        show_default=False,
    ),
]
