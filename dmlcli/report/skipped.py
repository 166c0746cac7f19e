"""What could not be used, told by every verb that goes on without it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """An input that could not be used, and why."""

    path: str
    reason: str
