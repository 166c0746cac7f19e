"""What is searched for, among what, and what is shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from dmlcli.arguments import Names as _Names
    from dmlcli.search.photo_inputs import Photos as _Photos

    _Vectors = Path | str | NDArray[Any] | Iterable[Path | str | NDArray[Any]] | None
else:  # what the command line reads
    _Photos = _Names = list[str] | None
    _Vectors = list[Path] | None

Images = Annotated[
    _Photos,
    Argument(help="Image files, folders of images, or - for the bytes of one image on stdin."),
]
Like = Annotated[
    _Names,
    Option(panel="Input", help="Search with an indexed product, or an indexed image by its path."),
]
VectorFile = Annotated[_Vectors, Option("--vector", panel="Input", help="Search with vectors: .npy, .npz or .json.")]
Minus = Annotated[
    _Names,
    Option(
        panel="Input",
        help="Leave out this indexed product; for a photo or an indexed image, or with a weight (NAME:0.5): "
        "also search away from it.",
    ),
]
Right = Annotated[
    _Names,
    Option(panel="Input", help="Search also for what resembles this indexed product or image, which is right."),
]
Wrong = Annotated[
    _Names,
    Option(
        panel="Input",
        help="Remove this wrong product, or the product of this wrong image, and search away from it.",
    ),
]
Crop = Annotated[
    str | None,
    Option(
        panel="Input",
        help="Crop each photo: x,y,width,height in pixels or percent, auto (the object found best), or each.",
    ),
]
Fuse = Annotated[bool, Option("--fuse", panel="Input", help="All photos show one product: answer them together.")]
FilesFrom = Annotated[str | None, Option(panel="Input", help="File with one image path per line, or - for stdin.")]
Null = Annotated[
    bool, Option("--null", panel="Input", help="The paths of --files-from end with NUL instead of newline.")
]
TopK = Annotated[int, Option("--top-k", "-k", panel="Search", min=1, help="Number of hits for each query.")]
MinScore = Annotated[
    float | None,
    Option(panel="Search", min=-1, max=1, help="Leave out images below this cosine; exit 1 if none is left."),
]
MinConfidence = Annotated[
    float | None,
    Option(panel="Search", min=0, max=1, help="Leave out products with a lower probability; exit 1 if none is left."),
]
MaxFalseAccepts = Annotated[
    Any,  # a share, as a number or in percent
    Option(
        panel="Search",
        parser=str,
        metavar="RATE",
        help="Answer no more than this share of photos of unknown products: 5%. Exit 1 if no photo is answered.",
    ),
]
Where = Annotated[
    str | None,
    Option(
        panel="Search", help="Search only items that satisfy this SQL expression: \"category = 'mug' and price < 20\"."
    ),
]
By = Annotated[Literal["product", "image"], Option(panel="Search", help="Rank products, each once, or images.")]
Pool = Annotated[
    Literal["max", "top3", "mean", "vote"] | None,
    Option(
        panel="Search",
        help="Score of a product: best image, mean of the best three, mean of all, or share of the 20 closest.  "
        "[default: the mix that training fitted, else max]",
    ),
]
Rerank = Annotated[
    str | None,
    Option(panel="Search", help="Re-rank the top list: aqe, dba or k-reciprocal, with settings: aqe:k=5."),
]
ServerUrl = Annotated[
    str | None,
    Option("--server", panel="Run", help="Ask a running dmlcli serve, by its address; --index is then a name."),
]
Explain = Annotated[bool, Option("--explain", panel="Output", help="Show stages with candidates and timings.")]
Columns = Annotated[
    _Names,
    Option(
        "--columns",
        panel="Output",
        help="Columns of the catalog beside each hit: title,price.  [default: all in csv, xlsx and json]",
    ),
]
Sheet = Annotated[
    Path | None, Option(panel="Output", help="Also write queries and hits as an image (.png) or pages (.pdf).")
]
AnswerPage = Annotated[
    Path | None, Option("--html", panel="Output", help="Also write queries and hits as one HTML page.")
]
ExplainMatch = Annotated[
    Path | None,
    Option(
        panel="Output",
        help="Also write each hit beside its query as a .png, the places that match in color; a page of --html "
        "shows them, too.",
    ),
]
