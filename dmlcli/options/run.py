"""A training run: how long, from where, on what, and what it leaves behind."""

from pathlib import Path
from typing import Annotated, Literal

from dmlcli.options.spec import Option

Seed = Annotated[int, Option(panel="Run", help="Random seed.")]
Budget = Annotated[
    str | None,
    Option(panel="Run", help="Time limit for the whole run: 10m, 90s or 1h30m."),
]
DryRun = Annotated[bool, Option("--dry-run", panel="Run", help="Show the plan with its time and memory, and exit.")]
TensorBoard = Annotated[
    bool, Option("--tensorboard", panel="Output", help="Also log the run for TensorBoard (an extra).")
]
Resume = Annotated[bool, Option("--resume", panel="Run", help="Resume the run that was interrupted last.")]
RunId = Annotated[
    str | None,
    Option("--run", panel="Run", help="With --resume: the run to resume (see dmlcli status)."),
]
KeepIfBetter = Annotated[
    bool,
    Option(
        "--keep-if-better",
        panel="Run",
        help="Use the new model only if it scores higher than the current one on the same held-out photos, else exit "
        "with 1.",
    ),
]
Device = Annotated[
    str, Option(panel="Run", help="Device: auto (a GPU if there is one, else the CPU), cpu, cuda, cuda:N or mps.")
]
Provider = Annotated[
    Literal["cuda", "openvino", "coreml"] | None,
    Option(panel="Run", help="Embed with this provider of ONNX Runtime.  [default: chosen by --device]"),
]
NoIndex = Annotated[
    bool, Option("--no-index", panel="Output", help="Do not embed and index the catalog after training.")
]
TrainPage = Annotated[
    Path | None,
    Option("--html", panel="Output", help="Also write curves, a map of the products and confusions as one HTML page."),
]
