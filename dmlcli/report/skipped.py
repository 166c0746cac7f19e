"""Inputs that could not be used, reported by every command that continues without them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """An input that could not be used, and why."""

    path: str
    """The input."""
    reason: str
    """Why it could not be used."""
