"""What training returns."""

from dataclasses import dataclass, field

from dmlcli.report.skipped import Skipped


@dataclass(frozen=True)
class TrainReport:
    """Training report. Scores are MAP@R in validation, in [0, 1]; None where nothing could be held out."""

    run: str
    model: str
    fingerprint: str
    images: int
    products: int
    validation: str
    frozen_score: float | None
    score: float | None
    chosen: str
    seconds: float
    index: str | None
    caution: str = ""
    skipped: tuple[Skipped, ...] = ()
    searches: dict[str, dict[str, float]] = field(default_factory=dict)  # seen, unseen: MAP@R of frozen and chosen
    reason: str = ""  # why the frozen backbone is kept, where training did not help
    replaced: str | None = None  # where the model that was replaced is kept
