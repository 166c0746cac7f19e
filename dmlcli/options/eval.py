"""Options of `eval`: what is searched in what, and what is reported."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from dmlcli.options.spec import Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from dmlcli.arguments import Names as _Names

    _WithCommas = _Names
else:  # what the command line reads
    _Names = list[str] | None
    _WithCommas = str | None

Queries = Annotated[Path | None, Option(help="Catalog or embeddings to search with, in the first.", show_default=False)]
QuerySplit = Annotated[str | None, Option(help="Search with the images of this split …", show_default=False)]
GallerySplit = Annotated[str | None, Option(help="… among the images of this one.", show_default=False)]
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
Metrics = Annotated[
    _WithCommas, Option(help="all, or names with commas: recall@100,map,minp,nmi …", show_default=False)
]
CountMissingAsZero = Annotated[
    bool, Option("--count-missing-as-zero", help="Queries without an image to find count, as 0.")
]
AgainstPath = Annotated[
    Path | None,
    Option("--against", help="Other model or embeddings: the difference on the same queries.", show_default=False),
]
Reranks = Annotated[
    _Names,
    Option(
        "--rerank",
        help="What re-ranking the top lists gains: all, or some of aqe, dba, k-reciprocal, with settings: aqe:k=3,dba.",
        show_default=False,
    ),
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
    _Names,
    Option(help="Exit 1 where a score is lower, e.g. recall@1=0.8 (again for more).", show_default=False),
]
ReportPage = Annotated[
    Path | None, Option("--html", help="Also write all of it as one page, with pictures.", show_default=False)
]
EvalDryRun = Annotated[bool, Option("--dry-run", help="Say who is searched among whom and what it takes, and stop.")]
