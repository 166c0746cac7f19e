"""Names of recipes and losses, and the backbone of a search without a trained model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from collections.abc import Iterable

    _WithCommas = str | Iterable[str]
else:  # what the command line reads
    _WithCommas = str


def _complete_recipe(incomplete: str) -> list[str]:
    from dmlcli.learn import recipe_files

    return [name for name in recipe_files.published() if name.startswith(incomplete)]


Recipe = Annotated[
    str | None,
    Option(
        panel="Run",
        help="As published: proxy-anchor, ms, xbm, proxynca-pp, recall-at-k, reid-baseline; or a file of settings; "
        "other options win.",
        autocompletion=_complete_recipe,
    ),
]
Losses = Annotated[
    _WithCommas | None,
    Option(panel="Loss", help="Losses to compare: all, or some, separated by commas.  [default: all]"),
]
Backbones = Annotated[
    _WithCommas | None,
    Option(
        panel="Network",
        help="Compare these backbones instead of losses, separated by commas; NAME=FILE names a file of weights; "
        "all-here: those whose weights are here (see dmlcli backbones).",
    ),
]
LossName = Annotated[str | None, Argument(help="Show the details of one loss.")]
LossPlot = Annotated[
    Path | None,
    Option(
        "--plot",
        panel="Output",
        help="Draw the loss and its slope over the cosine of a pair: - for the terminal, or a file (.svg, .png).",
    ),
]
BackboneName = Annotated[str | None, Argument(help="Show the details of one backbone, or of a need.")]
Measure = Annotated[bool, Option("--measure", panel="Run", help="Also measure the CPU time of an image.")]
Fetch = Annotated[
    bool,
    Option("--fetch", panel="Run", help="Download the weights of the backbone, and show their file and its SHA-256."),
]

# of `index` and `embed`, which search without a trained model; those of a training are in learn/recipe.py
PretrainedBackbone = Annotated[
    str | None,
    Option(
        "--backbone",
        panel="Network",
        help="Without a trained model: efficientnet_lite0 (extra weights), torchvision network, timm:NAME, or "
        "descriptor (needs no weights); or a need, such as fast or fashion (see dmlcli backbones).  "
        "[default: efficientnet_lite0]",
    ),
]
Weights = Annotated[
    str | None,
    Option(
        panel="Network",
        help="auto (pip package, cache, download, else descriptor), pretrained, none, or a file.  [default: auto]",
    ),
]
Pooling = Annotated[
    Literal["avg", "max", "gem", "avg+max", "two-maps", "two-maps+descriptor"] | None,
    Option(
        panel="Network",
        help="Pooling of the last feature map; two-maps: also of a map twice its size; two-maps+descriptor: with the "
        "built-in descriptor, too.  [default: the last of these that the backbone supports]",
    ),
]
