"""What an evaluation would do, and what it would take (`eval --dry-run`)."""

from dataclasses import dataclass

from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class EvalPlan:
    """What eval would do (`--dry-run`): who is searched among whom, and what it takes."""

    protocol: str
    scope: str
    queries: int
    gallery: int
    dim: int
    to_embed: int  # images not known from an earlier run
    peak_bytes: int  # of memory: vectors, and one block of similarities
    seconds: float  # of searching; embedding comes on top
    skipped: tuple[Skipped, ...] = ()
