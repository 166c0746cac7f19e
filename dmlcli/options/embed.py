"""What is embedded, and how vectors are computed and stored."""

from typing import TYPE_CHECKING, Annotated, Literal

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from dmlcli.arguments import Names as _Names
else:  # what the command line reads
    _Names = list[str] | None

EmbedInputs = Annotated[
    _Names,
    Argument(
        help="Folder of products or table of images; or image files; or - for the bytes of one image on stdin.",
        show_default=False,
    ),
]
EmbedPrecision = Annotated[
    Literal["float32", "bfloat16"],
    Option(
        help="What the backbone computes in. bfloat16 takes two thirds of the time where backbones are heavy and "
        "processors have it, and turns vectors a little (cosine 0.99 to 1)."
    ),
]
Average = Annotated[
    Literal["flip", "crops"] | None,
    Option(help="Average the embeddings of several views: mirrored too, or five crops.", show_default=False),
]
DTypeName = Literal["float32", "float16"]
DType = Annotated[DTypeName, Option(help="How the vectors are stored; float16 takes half the space.")]
Layout = Annotated[Literal["dmlcli", "clip-retrieval"], Option(help="What a folder of embeddings looks like inside.")]
EmbedDevice = Annotated[
    str, Option("--device", help="What embeds: cpu (without torch), auto (a GPU, if any), cuda, cuda:N or mps.")
]
