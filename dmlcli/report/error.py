"""What stderr holds where a command with `--format json` or `jsonl` fails."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmlcli.report.units import Count


@dataclass(frozen=True)
class ErrorReport:
    """Why a command could not do its work."""

    error: str
    """What went wrong."""
    hint: str
    """A suggestion; may be empty."""
    exit_code: "Count"
    """The exit code of the process (docs/exit-codes.md)."""
