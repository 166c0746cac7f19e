"""Options of the terminal, which every command has and the Python API does not need."""

from pathlib import Path
from typing import Annotated, Any, Literal

from dmlcli.options.spec import Option

Taken = dict[str, tuple[Any, Any]]  # by parameter: its kind and spelling, and its default

_PLAIN = Literal["table", "json"]
_ANSWERS = Literal["table", "tsv", "csv", "jsonl", "json", "paths"]
_ANSWERS_OR_BOOK = Literal["table", "tsv", "csv", "jsonl", "json", "paths", "xlsx"]
_FORMATS: dict[str, Any] = {
    "train": _PLAIN,
    "embed": _PLAIN,
    "index": _PLAIN,
    "eval": Literal["table", "json", "csv", "markdown", "latex"],
    "compare": _PLAIN,
    "sweep": _PLAIN,
    "losses": _PLAIN,
    "backbones": Literal["table", "tsv", "json"],
    "models": _PLAIN,
    "status": _PLAIN,
    "query": _ANSWERS_OR_BOOK,
    "serve": _PLAIN,
    "doctor": Literal["table", "jsonl", "json"],
    "duplicates": _ANSWERS,
}
COMMANDS = tuple(_FORMATS)  # in the order of the help
_LISTS_PATHS = ("query", "duplicates")
_DECODES = ("train", "embed", "index", "eval", "compare", "sweep", "query", "serve", "doctor")
_TAKES_TIME = ("train", "embed", "index", "eval", "compare", "sweep", "doctor", "duplicates")
_SHARES = ("train", "embed")


def printing(command: str) -> Taken:
    """Return the options for output: format, progress and errors."""
    usual = "table on a terminal, else tsv" if command in _LISTS_PATHS else "table"
    taken: Taken = {
        "format": (
            Annotated[
                _FORMATS[command] | None,
                Option(panel="Output", help=f"Output format.  [default: {usual}]"),
            ],
            None,
        ),
        "quiet": (
            Annotated[bool, Option("--quiet", "-q", panel="Output", help="Suppress progress and notes on stderr.")],
            False,
        ),
        "debug": (Annotated[bool, Option("--debug", panel="Output", help="Show the traceback of an error.")], False),
    }
    if command in _TAKES_TIME:
        taken["progress_form"] = (
            Annotated[
                Literal["auto", "jsonl"],
                Option("--progress", panel="Output", help="Progress on stderr: for people, or as JSON Lines."),
            ],
            "auto",
        )
    if command in _LISTS_PATHS:
        taken["nul"] = (
            Annotated[bool, Option("-0", "--print0", panel="Output", help="End each path of --format paths with NUL.")],
            False,
        )
    if command == "query":
        taken["show"] = (
            Annotated[bool, Option("--show", panel="Output", help="Also draw the images in the terminal.")],
            False,
        )
        taken["output"] = (
            Annotated[
                Path | None,
                Option("--output", "-o", panel="Output", help="Write to this file, in the format of its suffix."),
            ],
            None,
        )
    return taken


def startup(command: str) -> Taken:
    """Return the options that are handled before the command starts."""
    taken: Taken = {}
    if command in _DECODES:
        spelt = Option(
            panel="Input" if command == "query" else "Catalog",
            min=1,
            help="Reject larger images without decoding them.  [default: 200 million]",
        )
        taken["max_pixels"] = (Annotated[int | None, spelt], None)
    if command in _SHARES:
        spelt = Option(
            panel="Run",
            min=1,
            help="Number of processes on this machine, started with torchrun.  [default: 1]",
        )
        taken["processes"] = (Annotated[int | None, spelt], None)
    return taken
