"""What is embedded, and how vectors are computed and stored."""

from typing import TYPE_CHECKING, Annotated, Literal

from dmlcli.options.spec import Argument, Option

if TYPE_CHECKING:  # what a caller in Python may pass
    from dmlcli.arguments import Names as _Names
else:  # what the command line reads
    _Names = list[str] | None

EmbedInputs = Annotated[
    _Names,
    Argument(help="Folder of products or table of images; or image files; or - for the bytes of one image on stdin."),
]
EmbedPrecision = Annotated[
    Literal["float32", "bfloat16"],
    Option(
        panel="Network",
        help="Number format of the backbone. bfloat16 takes two thirds of the time where backbones are heavy and "
        "processors have it, and turns vectors a little (cosine 0.99 to 1).",
    ),
]
Average = Annotated[
    Literal["flip", "crops"] | None,
    Option(panel="Network", help="Average the embeddings of several views: flip (mirrored too), or five crops."),
]
CropObjects = Annotated[
    Literal["auto"] | None,
    Option(
        panel="Input",
        help="auto: embed the object of a photo alone where that resembles the other photos of its product more.",
    ),
]
DTypeName = Literal["float32", "float16"]
DType = Annotated[
    DTypeName, Option(panel="Output", help="Number format of the stored vectors; float16 takes half the space.")
]
Layout = Annotated[Literal["dmlcli", "clip-retrieval"], Option(panel="Output", help="Layout of an output folder.")]
