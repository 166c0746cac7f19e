"""The vocabulary of the command line: every option once, with its spelling, range and help. No defaults in here."""

from pathlib import Path
from typing import Annotated, Any, Literal

from dmlcli.spelling import Argument, Option


def _complete_loss(incomplete: str) -> list[str]:
    from dmlcli.learn import losses

    return [name for name in losses.names() if name.startswith(incomplete)]


def _complete_recipe(incomplete: str) -> list[str]:
    from dmlcli.learn import recipe

    return [name for name in recipe.published() if name.startswith(incomplete)]


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
EmbedInputs = Annotated[
    list[str] | None,
    Argument(
        help="Folder of products or table of images; or image files; or - for the bytes of one image on stdin.",
        show_default=False,
    ),
]
Images = Annotated[
    list[str] | None,
    Argument(help="Image files, folders of images, or - for the bytes of one image on stdin.", show_default=False),
]
LossName = Annotated[str | None, Argument(help="One loss, told in full.", show_default=False)]
Recipe = Annotated[
    str | None,
    Option(
        help="As published: proxy-anchor, ms, xbm, proxynca-pp, recall-at-k, reid-baseline; or a file of settings; "
        "other options win.",
        show_default=False,
        autocompletion=_complete_recipe,
    ),
]

Loss = Annotated[
    str | None,
    Option(
        help="Loss with its settings, e.g. triplet:margin=0.2 (see dmlcli losses).  [default: proxy-anchor]",
        show_default=False,
        autocompletion=_complete_loss,
    ),
]
Losses = Annotated[str, Option(help="Losses to compare: all, or some, separated by commas.")]
Backbone = Annotated[
    str | None,
    Option(
        help="torchvision network by its name there, timm:NAME (extra timm), or descriptor (needs no weights).  "
        "[default: mobilenet_v3_large]",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    Option(
        help="auto (cache, download, else descriptor), pretrained, none, or a file.  [default: auto]",
        show_default=False,
    ),
]
Tune = Annotated[
    Literal["none", "head", "top", "all", "auto"] | None,
    Option(
        help="How deep to train: nothing (the frozen baseline), the head on cached features, the backbone's last stage "
        "too, or all of it; auto: the head, then deeper where device and --budget allow it.  [default: auto]",
        show_default=False,
    ),
]
Purpose = Annotated[
    Literal["known", "new", "both"] | None,
    Option(
        "--for",
        help="What will be searched for: the products trained on, new ones, or both.  [default: both]",
        show_default=False,
    ),
]
Head = Annotated[
    Literal["linear", "mlp", "bnneck", "layernorm", "identity"] | None,
    Option(
        help="What is trained on top of the backbone; identity: nothing, the backbone alone is.  [default: linear]",
        show_default=False,
    ),
]
Pooling = Annotated[
    Literal["avg", "max", "gem", "avg+max", "two-maps", "two-maps+descriptor"] | None,
    Option(
        help="Of the last map, of two, or of two beside the built-in descriptor.  [default: the last, where it can]",
        show_default=False,
    ),
]
BatchNorm = Annotated[
    Literal["frozen", "free"] | None,
    Option(
        help="Whether batch norm stays as pretrained, or follows the batches where all is trained.  [default: frozen]",
        show_default=False,
    ),
]
Dim = Annotated[int | None, Option(min=2, help="Length of an embedding.  [default: 256]", show_default=False)]
Epochs = Annotated[
    int | None,
    Option(
        min=0,
        help="Most passes over the training images; training stops early by itself.  [default: 20, compare 10]",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None,
    Option(min=2, help="Images a step.  [default: 256, where the backbone is trained 64]", show_default=False),
]
LearningRate = Annotated[
    float | None,
    Option(
        min=0,
        help="Of the head; the backbone gets a tenth, proxies what their loss says.  [default: 0.001]",
        show_default=False,
    ),
]
Optimizer = Annotated[
    str | None,
    Option(help="adamw, adam or sgd, e.g. adam:eps=1 or sgd:momentum=0.9.  [default: adamw]", show_default=False),
]
Schedule = Annotated[
    str | None,
    Option(
        help="Of the learning rate: constant, cosine, step:every=10,factor=0.5, step:at=40,70, one-cycle, or "
        "plateau:patience=4; ramp=5 rises first.  [default: cosine]",
        show_default=False,
    ),
]
WeightDecay = Annotated[
    float | None, Option(min=0, help="Of head and backbone.  [default: 0.0001]", show_default=False)
]
BackboneFactor = Annotated[
    float | None,
    Option(min=0, help="Times the learning rate, for the backbone.  [default: 0.1]", show_default=False),
]
LossFactor = Annotated[
    float | None,
    Option(
        min=0,
        help="Times the learning rate, for proxies and the like.  [default: as the loss says]",
        show_default=False,
    ),
]
LayerDecay = Annotated[
    float | None,
    Option(
        min=0,
        max=1,
        help="Each block of the backbone this much slower than the next.  [default: 1]",
        show_default=False,
    ),
]
Warmup = Annotated[
    int | None,
    Option(min=0, help="Epochs in which the backbone still stands.  [default: 0]", show_default=False),
]
Clip = Annotated[
    str | None,
    Option(help="Gradients: value:10 (each entry), norm:3, or none.  [default: value:10]", show_default=False),
]
Accumulate = Annotated[
    int | None, Option(min=1, help="Batches whose gradients make one step.  [default: 1]", show_default=False)
]
Chunk = Annotated[
    int | None,
    Option(
        min=1,
        help="Images in memory at a time: a batch of thousands, in two passes.  [default: all]",
        show_default=False,
    ),
]
Ema = Annotated[
    float | None,
    Option(min=0, max=1, help="Ship a moving average of the weights, e.g. 0.999.", show_default=False),
]
Patience = Annotated[
    int | None,
    Option(min=0, help="Epochs without a gain after which training stops; 0: never.  [default: 6]", show_default=False),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    Option(
        help="Of the network while it trains; auto: what the device is fast in.  [default: auto]", show_default=False
    ),
]
EmbedPrecision = Annotated[
    Literal["float32", "bfloat16"],
    Option(
        help="What the backbone computes in. bfloat16 takes two thirds of the time where backbones are heavy and "
        "processors have it, and turns vectors a little (cosine 0.99 to 1)."
    ),
]
Sampler = Annotated[
    Literal["random", "balanced", "pk", "category-pk", "n-pair"] | None,
    Option(help="How batches are drawn.  [default: as loss and catalogue need]", show_default=False),
]
ImagesPerProduct = Annotated[
    int | None,
    Option(min=2, help="K of the samplers pk and category-pk.  [default: 4, or as products have]", show_default=False),
]
Memory = Annotated[
    str | None,
    Option(help="Compare with this many past embeddings too: 8192, or 8192:start=500 (batches).", show_default=False),
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
        help="Random views: none, light crops and light, crops alone (retrieval), hidden parts (reid), strong.  "
        "[default: light]",
        show_default=False,
    ),
]
Decode = Annotated[
    Literal["fast", "exact"] | None,
    Option(
        help="Large JPEGs at no less than twice the size needed, or exactly; the model keeps to it.  [default: fast]",
        show_default=False,
    ),
]
Seed = Annotated[int, Option(help="Start of every random number.")]
TrainSeed = Annotated[
    int | None,
    Option(
        "--seed",
        help="Start of every random number; equal seeds give equal models on one machine.  [default: 0]",
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    Option(help="How long it may take in all: 10m, 90s or 1h30m.", show_default=False),
]
DryRun = Annotated[bool, Option("--dry-run", help="Only say what would be done, and how long and how large it is.")]
TensorBoard = Annotated[bool, Option("--tensorboard", help="Write the run for TensorBoard too (an extra).")]
Resume = Annotated[bool, Option("--resume", help="Go on with the run that was interrupted last, to the same end.")]
RunId = Annotated[
    str | None, Option("--run", help="With --resume: another run (see dmlcli status).", show_default=False)
]
Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:N or mps.")]
NoIndex = Annotated[bool, Option("--no-index", help="Stop after the model: do not embed and index the catalogue.")]

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
To = Annotated[
    str | None,
    Option(
        help="Into a Milvus collection: milvus://host:19530/products, or milvus:./file.db/products (an extra).",
        show_default=False,
    ),
]
Replace = Annotated[bool, Option("--replace", help="With --to: drop what the collection holds of another model.")]
Average = Annotated[
    Literal["flip", "crops"] | None,
    Option(help="Average the embeddings of several views: mirrored too, or five crops.", show_default=False),
]

DTypeName = Literal["float32", "float16"]
DType = Annotated[DTypeName, Option(help="How the vectors are stored; float16 takes half the space.")]
Layout = Annotated[Literal["dmlcli", "clip-retrieval"], Option(help="What a folder of embeddings looks like inside.")]

TrainPage = Annotated[
    Path | None,
    Option("--html", help="Also write curves, a map of the products and confusions as one page.", show_default=False),
]

ModelOut = Annotated[Path | None, Option("--output", "-o", help="Where the model goes.", show_default=False)]
EmbeddingsOut = Annotated[
    Path | None,
    Option("--output", "-o", help="Folder, or a file: .npz, .npy, .parquet, .jsonl.", show_default=False),
]
IndexOut = Annotated[Path | None, Option("--output", "-o", help="Where the index goes.", show_default=False)]
ModelPath = Annotated[Path | None, Option("--model", help="Model folder.", show_default=False)]
IndexPath = Annotated[
    Path | None, Option("--index", help="Index folder, or milvus://host:19530/collection.", show_default=False)
]
WorkspacePath = Annotated[
    Path | None,
    Option("--workspace", "-w", help="Workspace folder; else the nearest .dmlcli above.", show_default=False),
]

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
Strict = Annotated[
    bool, Option("--strict", help="Stop where a file is missing, or a known data set is not as published.")
]
Root = Annotated[
    Path | None, Option(help="What a table's paths are relative to; else its own folder.", show_default=False)
]
Split = Annotated[str | None, Option(help="Only the images of this split.", show_default=False)]

TopK = Annotated[int, Option("--top-k", "-k", min=1, help="Hits for each query.")]
MinScore = Annotated[
    Any,  # a number or "auto"; Typer knows no such union
    Option(
        parser=str,
        metavar="COSINE|auto",
        help="Leave out images below this cosine; exit 1 if none is left. auto: as 95 in 100 unknown products are.",
        show_default=False,
    ),
]
Like = Annotated[
    list[str] | None,
    Option(help="Search with what is indexed: a product, or an image by its path.", show_default=False),
]
VectorFile = Annotated[
    list[Path] | None, Option("--vector", help="Search with vectors: .npy, .npz or .json.", show_default=False)
]
Minus = Annotated[
    list[str] | None,
    Option(help="Away from this: a photo, or an indexed product or image.", show_default=False),
]
Crop = Annotated[str | None, Option(help="x,y,width,height of each photo, in pixels or per cent.", show_default=False)]
Fuse = Annotated[bool, Option("--fuse", help="All photos show one thing: one answer for them together.")]
Where = Annotated[
    str | None,
    Option(
        help="Only among items for which this SQL expression is true: \"category = 'mug' and price < 20\".",
        show_default=False,
    ),
]
By = Annotated[Literal["image", "product"], Option(help="Whether hits are images or products.")]
Pool = Annotated[
    Literal["max", "mean", "vote"] | None,
    Option(
        help="Score of a product: best image, mean of all, or share of the 20 closest.  [default: max]",
        show_default=False,
    ),
]
Rerank = Annotated[
    str | None,
    Option(help="Re-rank the top list: aqe, dba or k-reciprocal, with settings: aqe:k=5.", show_default=False),
]
Reranks = Annotated[
    list[str] | None,
    Option(
        "--rerank",
        help="What re-ranking the top lists gains: all, or some of aqe, dba, k-reciprocal, with settings: aqe:k=3,dba.",
        show_default=False,
    ),
]
Explain = Annotated[bool, Option("--explain", help="Tell the stages, their candidates and times.")]
FilesFrom = Annotated[str | None, Option(help="File with one image path a line, or - for stdin.", show_default=False)]
Null = Annotated[bool, Option("--null", help="The paths of --files-from end with NUL instead of newline.")]
Sheet = Annotated[Path | None, Option(help="Also draw queries and hits into this picture (PNG).", show_default=False)]
AnswerPage = Annotated[
    Path | None, Option("--html", help="Also write queries and hits as one page (HTML).", show_default=False)
]

Queries = Annotated[
    Path | None, Option(help="Catalogue or embeddings to search with, in the first.", show_default=False)
]
QuerySplit = Annotated[str | None, Option(help="Search with the images of this split …", show_default=False)]
GallerySplit = Annotated[str | None, Option(help="… among the images of this one.", show_default=False)]

Threshold = Annotated[float, Option(min=-1, max=1, help="Cosine from which two count as near-identical.")]
WholeProducts = Annotated[
    bool, Option("--products", help="Compare products, by the mean of their images, instead of images.")
]
Everything = Annotated[
    bool, Option("--all", help="Search all images, also of products that the model was trained on, and say so.")
]
ExcludeSame = Annotated[
    Literal["camera", "session"] | None,
    Option(
        help="What a query may not find: its product from its own source (camera), or all of its source (session).",
        show_default=False,
    ),
]
Metrics = Annotated[str | None, Option(help="all, or names with commas: recall@100,map,minp,nmi …", show_default=False)]
CountMissingAsZero = Annotated[
    bool, Option("--count-missing-as-zero", help="Queries without an image to find count, as 0.")
]
AgainstPath = Annotated[
    Path | None,
    Option("--against", help="Other model or embeddings: the difference on the same queries.", show_default=False),
]
PublishedOn = Annotated[
    Literal["sop", "cub", "cars", "inshop"] | None,
    Option("--published", help="Set the score among the published ones of this data set.", show_default=False),
]
Ranked = Annotated[
    Path | None,
    Option(help="Judge these ranked lists (what query prints, or another tool) instead.", show_default=False),
]
FailUnder = Annotated[
    list[str] | None,
    Option(help="Exit 1 where a score is lower, e.g. recall@1=0.8 (again for more).", show_default=False),
]
ReportPage = Annotated[
    Path | None, Option("--html", help="Also write all of it as one page, with pictures.", show_default=False)
]
EvalDryRun = Annotated[bool, Option("--dry-run", help="Say who is searched among whom and what it takes, and stop.")]
