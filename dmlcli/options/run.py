"""A training run: how long, from where, on what, and what it leaves behind."""

from pathlib import Path
from typing import Annotated

from dmlcli.options.spec import Option

TrainSeed = Annotated[
    int | None,
    Option(
        "--seed",
        help="Start of every random number; equal seeds give equal models on one machine.  [default: 0]",
        show_default=False,
    ),
]
Seed = Annotated[int, Option(help="Start of every random number.")]
Budget = Annotated[
    str | None,
    Option(help="How long it may take in all: 10m, 90s or 1h30m.", show_default=False),
]
DryRun = Annotated[bool, Option("--dry-run", help="Only say what would be done, and how long and how large it is.")]
TensorBoard = Annotated[bool, Option("--tensorboard", help="Write the run for TensorBoard too (an extra).")]
Resume = Annotated[bool, Option("--resume", help="Go on with the run that was interrupted last, to the same end.")]
RunId = Annotated[
    str | None, Option("--run", help="With --resume: another run (see dmlcli status).", show_default=False)
]
Device = Annotated[str, Option(help="auto, cpu, cuda, cuda:N or mps.")]
NoIndex = Annotated[bool, Option("--no-index", help="Stop after the model: do not embed and index the catalog.")]
TrainPage = Annotated[
    Path | None,
    Option("--html", help="Also write curves, a map of the products and confusions as one page.", show_default=False),
]
