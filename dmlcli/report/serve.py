"""What `serve` says when it ends."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dmlcli.report.units import Seconds


@dataclass(frozen=True)
class ServeReport:
    """A server that has ended."""

    url: str
    """The address of its page."""
    indexes: list[str]
    """The names of its indexes."""
    seconds: "Seconds"
    """The time that it ran, in seconds."""
