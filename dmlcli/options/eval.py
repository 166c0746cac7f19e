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

Queries = Annotated[Path | None, Option(help="Catalog or embeddings whose images are the queries.", show_default=False)]
QuerySplit = Annotated[str | None, Option(help="Use the images of this split as queries …", show_default=False)]
GallerySplit = Annotated[str | None, Option(help="… and the images of this one as gallery.", show_default=False)]
Everything = Annotated[
    bool, Option("--all", help="Search all images, also of products that the model was trained on; the report says so.")
]
ExcludeSame = Annotated[
    Literal["camera", "session"] | None,
    Option(
        help="Exclude from a query's gallery its product from its own source (camera), or its whole source (session).",
        show_default=False,
    ),
]
Metrics = Annotated[
    _WithCommas, Option(help="Metrics: all, or names with commas: recall@100,map,minp,nmi …", show_default=False)
]
CountMissingAsZero = Annotated[
    bool, Option("--count-missing-as-zero", help="Count queries without a relevant image as 0.")
]
AgainstPath = Annotated[
    Path | None,
    Option("--against", help="Compare with another model or embeddings on the same queries.", show_default=False),
]
Reranks = Annotated[
    _Names,
    Option(
        "--rerank",
        help="Measure re-ranking of the top lists: all, or some of aqe, dba, k-reciprocal, with settings: aqe:k=3,dba.",
        show_default=False,
    ),
]
PublishedOn = Annotated[
    Literal["sop", "cub", "cars", "inshop"] | None,
    Option("--published", help="Show the published scores of this data set beside it.", show_default=False),
]
Ranked = Annotated[
    Path | None,
    Option(help="Evaluate these ranked lists (what query prints, or another tool) instead.", show_default=False),
]
FailUnder = Annotated[
    _Names,
    Option(help="Exit 1 if a score is lower, e.g. recall@1=0.8; repeatable.", show_default=False),
]
ReportPage = Annotated[
    Path | None, Option("--html", help="Also write the report as one HTML page, with images.", show_default=False)
]
EvalDryRun = Annotated[bool, Option("--dry-run", help="Show queries, gallery, time and memory, and exit.")]
