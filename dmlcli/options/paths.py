"""Where things lie, and where they go."""

from pathlib import Path
from typing import Annotated

from dmlcli.options.spec import Option

ModelPath = Annotated[Path | None, Option("--model", panel="Run", help="Model folder.")]
IndexPath = Annotated[
    Path | None, Option("--index", panel="Run", help="Index folder, or milvus://host:19530/collection.")
]
WorkspacePath = Annotated[
    Path | None,
    Option("--workspace", "-w", panel="Run", help="Workspace folder; default: the nearest .dmlcli above."),
]
ModelOut = Annotated[Path | None, Option("--output", "-o", panel="Output", help="Model folder to write.")]
EmbeddingsOut = Annotated[
    Path | None,
    Option("--output", "-o", panel="Output", help="Output folder, or a file: .npz, .npy, .parquet, .jsonl."),
]
IndexOut = Annotated[Path | None, Option("--output", "-o", panel="Output", help="Index folder to write.")]
