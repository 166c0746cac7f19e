"""Options of `sweep`: how many recipes are tried, and what is written."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dmlcli.options.spec import Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from collections.abc import Iterable

    _WithCommas = str | Iterable[str]
else:  # what the command line reads
    _WithCommas = str

Trials = Annotated[
    int, Option(panel="Search", min=1, help="Number of recipes to try, with those that were tried before.")
]
SweepMethod = Annotated[
    Literal["tpe", "random"],
    Option(panel="Search", help="How recipes are drawn: near those that scored high (tpe), or at random."),
]
SweepLosses = Annotated[
    _WithCommas | None,
    Option(
        panel="Search",
        help="Losses to try: all, or some, separated by commas, with settings that stay; the first is that of the "
        "default recipe.  [default: that of the recipe, and one of each kind]",
    ),
]
RecipeOut = Annotated[
    Path | None,
    Option("--output", "-o", panel="Output", help="Recipe file to write.  [default: in the workspace]"),
]
SweepPage = Annotated[
    Path | None,
    Option("--html", panel="Output", help="Also write scores and the importance of each setting as one HTML page."),
]
