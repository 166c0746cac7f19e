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

Queries = Annotated[Path | None, Option(panel="Protocol", help="Catalog or embeddings whose images are the queries.")]
QuerySplit = Annotated[str | None, Option(panel="Protocol", help="Use the images of this split as queries …")]
GallerySplit = Annotated[str | None, Option(panel="Protocol", help="… and the images of this one as gallery.")]
Everything = Annotated[
    bool,
    Option(
        "--all",
        panel="Protocol",
        help="Search all images, also of products that the model was trained on; the report says so.",
    ),
]
ExcludeSame = Annotated[
    Literal["camera", "session"] | None,
    Option(
        panel="Protocol",
        help="Exclude from a query's gallery its product from its own source (camera), or its whole source (session).",
    ),
]
Metrics = Annotated[
    _WithCommas, Option(panel="Metrics", help="Metrics: all, or names with commas: recall@100,map,minp,nmi …")
]
CountMissingAsZero = Annotated[
    bool, Option("--count-missing-as-zero", panel="Metrics", help="Count queries without a relevant image as 0.")
]
AgainstPath = Annotated[
    Path | None,
    Option("--against", panel="Metrics", help="Compare with another model or embeddings on the same queries."),
]
Reranks = Annotated[
    _Names,
    Option(
        "--rerank",
        panel="Protocol",
        help="Measure re-ranking of the top lists: all, or some of aqe, dba, k-reciprocal, with settings: aqe:k=3,dba.",
    ),
]
PublishedOn = Annotated[
    Literal["sop", "cub", "cars", "inshop"] | None,
    Option("--published", panel="Metrics", help="Show the published scores of this data set beside it."),
]
Ranked = Annotated[
    Path | None,
    Option(panel="Protocol", help="Evaluate these ranked lists (what query prints, or another tool) instead."),
]
FailUnder = Annotated[
    _Names,
    Option(panel="Metrics", help="Exit 1 if a score is lower, e.g. recall@1=0.8; repeatable."),
]
ReportPage = Annotated[
    Path | None, Option("--html", panel="Output", help="Also write the report as one HTML page, with images.")
]
EvalDryRun = Annotated[bool, Option("--dry-run", panel="Run", help="Show queries, gallery, time and memory, and exit.")]
