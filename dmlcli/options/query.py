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
    Argument(help="Image files, folders of images, or - for the bytes of one image on stdin.", show_default=False),
]
Like = Annotated[
    _Names,
    Option(help="Search with what is indexed: a product, or an image by its path.", show_default=False),
]
VectorFile = Annotated[
    _Vectors, Option("--vector", help="Search with vectors: .npy, .npz or .json.", show_default=False)
]
Minus = Annotated[
    _Names,
    Option(
        help="Leave out this indexed product; of a photo or an indexed image: search away from it.", show_default=False
    ),
]
Crop = Annotated[str | None, Option(help="x,y,width,height of each photo, in pixels or per cent.", show_default=False)]
Fuse = Annotated[bool, Option("--fuse", help="All photos show one thing: one answer for them together.")]
FilesFrom = Annotated[str | None, Option(help="File with one image path a line, or - for stdin.", show_default=False)]
Null = Annotated[bool, Option("--null", help="The paths of --files-from end with NUL instead of newline.")]
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
Explain = Annotated[bool, Option("--explain", help="Tell the stages, their candidates and times.")]
Sheet = Annotated[Path | None, Option(help="Also draw queries and hits into this picture (PNG).", show_default=False)]
AnswerPage = Annotated[
    Path | None, Option("--html", help="Also write queries and hits as one page (HTML).", show_default=False)
]
