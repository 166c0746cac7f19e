"""What a query returns: answers, each with its hits."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from dmlcli.report.skipped import Skipped

Part = tuple[float, float, float, float] | None  # of an image: left, top, right, bottom in pixels; None: all of it


@dataclass(frozen=True)
class Hit:
    """One returned row: an image, or a product shown by its best image."""

    rank: int
    score: float  # what it is ranked by; the cosine, unless products were pooled or hits re-ranked
    product: str
    image: str
    category: str = ""
    cosine: float = 0.0  # similarity of the image and the query in [-1, 1]
    images: int = 1  # of its product among the candidates that were folded into this hit
    columns: dict[str, Any] = field(default_factory=dict)  # the user's own
    box: Part = None


class Stage(NamedTuple):
    """One step towards an answer: how many candidates it left, and the seconds it took."""

    name: str
    candidates: int
    seconds: float


class Picture(Protocol):
    """What can be shown: a file, or a part of one."""

    def read_bytes(self) -> bytes:
        """Return the bytes of an image file."""


class Answer(NamedTuple):
    """The hits of one query, best first."""

    query: str
    hits: tuple[Hit, ...]
    closest: float | None = None  # cosine of the closest image, also where it is not close enough to be a hit
    min_score: float | None = None
    photos: tuple[Picture | bytes, ...] = ()  # of the query, to be shown
    stages: tuple[Stage, ...] = ()  # where they were asked for

    @property
    def pictures(self) -> tuple[Picture | bytes, ...]:
        """What to show for the query: its photos, else the file that it is called after."""
        return self.photos or (Path(self.query),)


@dataclass(frozen=True)
class QueryReport:
    """Answers as they come; `skipped` is complete once they have been taken."""

    index: str
    answers: Iterable[Answer]
    skipped: list[Skipped] = field(default_factory=list)
