"""What embedding returns."""

from dataclasses import dataclass

from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class EmbedReport:
    """What embedding made, and how many of the images had to be computed."""

    output: str
    images: int
    computed: int
    dim: int
    dtype: str
    views: str  # what was averaged, "" for one plain view
    model: str
    skipped: tuple[Skipped, ...] = ()
