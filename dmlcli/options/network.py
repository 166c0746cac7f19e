"""What is trained: recipe, loss, backbone and head."""

from typing import TYPE_CHECKING, Annotated, Literal

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from collections.abc import Iterable

    _WithCommas = str | Iterable[str]
else:  # what the command line reads
    _WithCommas = str


def _complete_loss(incomplete: str) -> list[str]:
    from dmlcli.learn import losses

    return [name for name in losses.names() if name.startswith(incomplete)]


def _complete_recipe(incomplete: str) -> list[str]:
    from dmlcli.learn import recipe

    return [name for name in recipe.published() if name.startswith(incomplete)]


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
Losses = Annotated[_WithCommas, Option(help="Losses to compare: all, or some, separated by commas.")]
LossName = Annotated[str | None, Argument(help="Show the details of one loss.", show_default=False)]
Backbone = Annotated[
    str | None,
    Option(
        help="torchvision network by its name there, timm:NAME (extra timm), or descriptor (needs no weights).  "
        "[default: mobilenet_v3_large]",
        show_default=False,
    ),
]
PretrainedBackbone = Annotated[
    str | None,
    Option(
        "--backbone",
        help="Where there is no trained model: torchvision network, timm:NAME, or descriptor (needs no weights).  "
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
        help="Layers to train: none (the frozen baseline), the head on cached features, the backbone's last stage "
        "too, or all of it; auto: the head, then deeper where device and --budget allow it.  [default: auto]",
        show_default=False,
    ),
]
Purpose = Annotated[
    Literal["known", "new", "both"] | None,
    Option(
        "--for",
        help="Products that will be searched for: those trained on, new ones, or both.  [default: both]",
        show_default=False,
    ),
]
Head = Annotated[
    Literal["linear", "mlp", "bnneck", "layernorm", "identity"] | None,
    Option(
        help="Layers on top of the backbone; identity: none, only the backbone is trained.  [default: linear]",
        show_default=False,
    ),
]
Pooling = Annotated[
    Literal["avg", "max", "gem", "avg+max", "two-maps", "two-maps+descriptor"] | None,
    Option(
        help="Pooling of the last map, of two, or of two beside the descriptor.  [default: the last, where it can]",
        show_default=False,
    ),
]
BatchNorm = Annotated[
    Literal["frozen", "free"] | None,
    Option(
        help="Keep batch-norm statistics as pretrained, or update them with --tune all.  [default: frozen]",
        show_default=False,
    ),
]
Dim = Annotated[int | None, Option(min=2, help="Embedding dimension.  [default: 256]", show_default=False)]
