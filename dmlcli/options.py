"""The vocabulary of the command line: every option once, with its spelling, range and help. No defaults in here."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dmlcli.learn import losses, recipe


def _complete_loss(incomplete: str) -> list[str]:
    return [name for name in losses.names() if name.startswith(incomplete)]


def _complete_recipe(incomplete: str) -> list[str]:
    return [name for name in recipe.published() if name.startswith(incomplete)]


CatalogPath = Annotated[
    Path, typer.Argument(help="Folder of products, or a CSV or TSV table of images.", show_default=False)
]
CatalogOrEmbeddings = Annotated[
    Path | None,
    typer.Argument(
        help="Folder of products, table of images, or embeddings (a folder or .npz file).", show_default=False
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Argument(
        help="Image files, folders of images, or - for the bytes of one image on stdin.", show_default=False
    ),
]
LossName = Annotated[str | None, typer.Argument(help="One loss, told in full.", show_default=False)]

Recipe = Annotated[
    str | None,
    typer.Option(
        help="As published: proxy-anchor, ms, xbm, proxynca-pp, recall-at-k, reid-baseline; or a file of settings; "
        "other options win.",
        show_default=False,
        autocompletion=_complete_recipe,
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(
        help="Loss with its settings, e.g. triplet:margin=0.2 (see dmlcli losses).  [default: proxy-anchor]",
        show_default=False,
        autocompletion=_complete_loss,
    ),
]
Losses = Annotated[str, typer.Option(help="Losses to compare: all, or some, separated by commas.")]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="torchvision network by its name there, or descriptor (needs no weights).  [default: mobilenet_v3_large]",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="auto (cache, download, else descriptor), pretrained, none, or a file.  [default: auto]",
        show_default=False,
    ),
]
Tune = Annotated[
    Literal["none", "head", "all"] | None,
    typer.Option(
        help="How deep to train: nothing (the frozen baseline), the head on cached features, or all of it.  "
        "[default: head]",
        show_default=False,
    ),
]
Purpose = Annotated[
    Literal["known", "new", "both"] | None,
    typer.Option(
        "--for",
        help="What will be searched for: the products trained on, new ones, or both.  [default: both]",
        show_default=False,
    ),
]
Head = Annotated[
    Literal["linear", "mlp", "bnneck", "layernorm", "identity"] | None,
    typer.Option(
        help="What is trained on top of the backbone; identity: nothing, the backbone alone is.  [default: linear]",
        show_default=False,
    ),
]
Pooling = Annotated[
    Literal["avg", "max", "gem", "avg+max", "two-maps"] | None,
    typer.Option(help="Of the backbone's last map, or of two.  [default: two-maps, where it can]", show_default=False),
]
BatchNorm = Annotated[
    Literal["frozen", "free"] | None,
    typer.Option(
        help="Whether batch norm stays as pretrained, or follows the batches where all is trained.  [default: frozen]",
        show_default=False,
    ),
]
Dim = Annotated[int | None, typer.Option(min=2, help="Length of an embedding.  [default: 256]", show_default=False)]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Most passes over the training images; training stops early by itself.  [default: 20, compare 10]",
        show_default=False,
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=2, help="Images a step.  [default: 256, with --tune all 64]", show_default=False)
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Of the head; the backbone gets a tenth, proxies what their loss says.  [default: 0.001]",
        show_default=False,
    ),
]
Optimizer = Annotated[
    str | None,
    typer.Option(help="adamw, adam or sgd, e.g. adam:eps=1 or sgd:momentum=0.9.  [default: adamw]", show_default=False),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        help="Of the learning rate: constant, cosine, step:every=10,factor=0.5, step:at=40,70, one-cycle, or "
        "plateau:patience=4; ramp=5 rises first.  [default: cosine]",
        show_default=False,
    ),
]
WeightDecay = Annotated[
    float | None, typer.Option(min=0, help="Of head and backbone.  [default: 0.0001]", show_default=False)
]
BackboneFactor = Annotated[
    float | None,
    typer.Option(min=0, help="Times the learning rate, for the backbone.  [default: 0.1]", show_default=False),
]
LossFactor = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Times the learning rate, for proxies and the like.  [default: as the loss says]",
        show_default=False,
    ),
]
LayerDecay = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Each block of the backbone this much slower than the next.  [default: 1]",
        show_default=False,
    ),
]
Warmup = Annotated[
    int | None,
    typer.Option(min=0, help="Epochs in which the backbone still stands.  [default: 0]", show_default=False),
]
Clip = Annotated[
    str | None,
    typer.Option(help="Gradients: value:10 (each entry), norm:3, or none.  [default: value:10]", show_default=False),
]
Accumulate = Annotated[
    int | None, typer.Option(min=1, help="Batches whose gradients make one step.  [default: 1]", show_default=False)
]
Chunk = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Images in memory at a time: a batch of thousands, in two passes.  [default: all]",
        show_default=False,
    ),
]
Ema = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Ship a moving average of the weights, e.g. 0.999.", show_default=False),
]
Patience = Annotated[
    int | None,
    typer.Option(
        min=0, help="Epochs without a gain after which training stops; 0: never.  [default: 6]", show_default=False
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    typer.Option(
        help="Of the network while it trains; auto: what the device is fast in.  [default: auto]", show_default=False
    ),
]
Sampler = Annotated[
    Literal["random", "pk", "category-pk", "n-pair"] | None,
    typer.Option(help="How batches are drawn.  [default: as the loss needs]", show_default=False),
]
ImagesPerProduct = Annotated[
    int | None, typer.Option(min=2, help="K of the samplers pk and category-pk.  [default: 4]", show_default=False)
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Compare with this many past embeddings too: 8192, or 8192:start=500 (batches).", show_default=False
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=64,
        help="Views of each training image: plain, mirrored, then random crops.  [default: 2]",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Start of every random number.")]
TrainSeed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Start of every random number; equal seeds give equal models on one machine.  [default: 0]",
        show_default=False,
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run that was interrupted last, to the same end.")
]
RunId = Annotated[
    str | None, typer.Option("--run", help="With --resume: another run (see dmlcli status).", show_default=False)
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
NoIndex = Annotated[
    bool, typer.Option("--no-index", help="Stop after the model: do not embed and index the catalogue.")
]

ModelOut = Annotated[Path | None, typer.Option("--output", "-o", help="Where the model goes.", show_default=False)]
EmbeddingsOut = Annotated[Path | None, typer.Option("--output", "-o", help="Folder or .npz file.", show_default=False)]
IndexOut = Annotated[Path | None, typer.Option("--output", "-o", help="Where the index goes.", show_default=False)]
ModelPath = Annotated[Path | None, typer.Option("--model", help="Model folder.", show_default=False)]
IndexPath = Annotated[Path | None, typer.Option("--index", help="Index folder.", show_default=False)]
WorkspacePath = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="Workspace folder; else the nearest .dmlcli above.", show_default=False),
]

ImageColumn = Annotated[str | None, typer.Option(help="Column of a table with the image paths.", show_default=False)]
ProductColumn = Annotated[str | None, typer.Option(help="Column with the product of each image.", show_default=False)]
CategoryColumn = Annotated[str | None, typer.Option(help="Column with the level above product.", show_default=False)]
SplitColumn = Annotated[str | None, typer.Option(help="Column that says train, val, test, …", show_default=False)]
SourceColumn = Annotated[str | None, typer.Option(help="Column with the session or camera.", show_default=False)]
Root = Annotated[
    Path | None, typer.Option(help="What a table's paths are relative to; else its own folder.", show_default=False)
]
Split = Annotated[str | None, typer.Option(help="Only the images of this split.", show_default=False)]

TopK = Annotated[int, typer.Option("--top-k", "-k", min=1, help="Hits for each query.")]
MinScore = Annotated[
    float | None,
    typer.Option(min=-1, max=1, help="Leave out hits below this cosine; exit 1 if none is left.", show_default=False),
]
FilesFrom = Annotated[
    str | None, typer.Option(help="File with one query path a line, or - for stdin.", show_default=False)
]
Null = Annotated[bool, typer.Option("--null", help="The paths of --files-from end with NUL instead of newline.")]
Sheet = Annotated[
    Path | None, typer.Option(help="Also draw queries and hits into this picture (PNG).", show_default=False)
]

Queries = Annotated[
    Path | None, typer.Option(help="Catalogue or embeddings to search with, in the first.", show_default=False)
]
QuerySplit = Annotated[str | None, typer.Option(help="Search with the images of this split …", show_default=False)]
GallerySplit = Annotated[str | None, typer.Option(help="… among the images of this one.", show_default=False)]
