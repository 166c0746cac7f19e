"""Where things lie, and where they go."""

from pathlib import Path
from typing import Annotated

from dmlcli.options.spec import Option

ModelPath = Annotated[Path | None, Option("--model", help="Model folder.", show_default=False)]
IndexPath = Annotated[
    Path | None, Option("--index", help="Index folder, or milvus://host:19530/collection.", show_default=False)
]
WorkspacePath = Annotated[
    Path | None,
    Option(
        "--workspace",
        "-w",
        panel="Run",
        help="Workspace folder; default: the nearest .dmlcli above.",
        show_default=False,
    ),
]
ModelOut = Annotated[
    Path | None, Option("--output", "-o", panel="Output", help="Model folder to write.", show_default=False)
]
EmbeddingsOut = Annotated[
    Path | None,
    Option(
        "--output",
        "-o",
        panel="Output",
        help="Output folder, or a file: .npz, .npy, .parquet, .jsonl.",
        show_default=False,
    ),
]
IndexOut = Annotated[
    Path | None, Option("--output", "-o", panel="Output", help="Index folder to write.", show_default=False)
]
