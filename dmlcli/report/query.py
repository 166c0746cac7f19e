"""What a query returns: answers, each with its hits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dmlcli.report.skipped import Skipped

if TYPE_CHECKING:
    from dmlcli.report.units import Cosine, Count, Place, Seconds, Share

HEADINGS = ("query", "rank", "score", "product", "image", "confidence")  # of CSV
Part = tuple[float, float, float, float] | None  # of an image: left, top, right, bottom in pixels; None: all of it


@dataclass(frozen=True)
class Hit:
    """One returned row: an image, or a product shown by its best image."""

    rank: "Place"
    """Place in the list."""
    score: float
    """What hits are ranked by: the cosine, unless products were pooled or hits re-ranked."""
    product: str
    """Its product; empty where it has none."""
    image: str
    """Path of the image."""
    category: str = ""
    """Its category; empty where it has none."""
    cosine: "Cosine" = 0.0
    """Similarity of the image and the query."""
    images: "Count" = 1
    """Images of its product among the candidates that were folded into this hit."""
    columns: dict[str, Any] = field(default_factory=dict)
    """The catalog's own columns: numbers, texts or null by name."""
    box: Part = None
    """Part of the image that was indexed: left, top, right, bottom in pixels; null for all of it."""
    confidence: "Share | None" = None
    """Probability that this is the right product if the index holds the right one; null where it is not known."""
    id: str = ""
    """Number of the image in the index."""

    def percent(self) -> str:
        """Return the confidence in whole percent, "" where it is not known; none is shown as certain."""
        return "" if self.confidence is None else f"{min(99, round(100 * self.confidence))} %"

    def cell(self, column: str) -> Any:
        """Return what the catalog says in a column: `category` or one of its own; None or "" for nothing."""
        return self.category if column == "category" else self.columns.get(column)


class Columns(NamedTuple):
    """The catalog's columns that are shown beside each hit: `category` and its own."""

    decimals: Mapping[str, int] = {}
    chosen: bool = False  # whether --columns chose them; if not, tables and TSV show none

    def headings(self, taken: Iterable[str]) -> list[str]:
        """Return the names of the columns, with _ after those that are taken by other columns of the output."""
        names = list(taken)
        count = len(names)
        for name in self.decimals:
            while name in names:
                name += "_"
            names.append(name)
        return names[count:]

    def texts(self, hit: Hit) -> list[str]:
        """Return the cells of a hit as text; numbers have the decimals that the catalog gives all of a column."""
        return [_text(hit.cell(name), digits) for name, digits in self.decimals.items()]


class Stage(NamedTuple):
    """One step towards an answer."""

    name: str
    """What was done."""
    candidates: "Count"
    """How many candidates it left."""
    seconds: "Seconds"
    """The time it took, in seconds."""


class Picture(Protocol):
    """What can be shown: a file, or a part of one."""

    def read_bytes(self) -> bytes:
        """Return the bytes of an image file."""


class Answer(NamedTuple):
    """The hits of one query, best first."""

    query: str
    """The photo, or what else was searched with."""
    hits: tuple[Hit, ...]
    """What was found."""
    closest: "Cosine | None" = None
    """Cosine of the closest image, also where it is not close enough to be a hit; null where none was searched."""
    min_score: float | None = None
    """Lowest score of a hit; null where none was set."""
    photos: tuple[Picture | bytes, ...] = ()  # of the query, to be shown; never printed
    stages: tuple[Stage, ...] = ()
    """The steps, with their time; only there with `--explain`."""
    match: "Share | None" = None
    """Probability that the first product is right if half of all photos show unknown products; null: not known."""
    min_match: "Share | None" = None
    """The least `match` of an answer with hits, from `--max-false-accepts`; null without it, or where the model has no
    probabilities and `min_score` takes its place."""
    crop: Part = None
    """Part of the upright photo that `--crop auto` or `--crop each` chose: left, top, right, bottom in pixels; null for
    all of it."""

    def why_empty(self) -> str:
        """Return why there are no hits, for people."""
        if self.closest is None:
            return "no image satisfies the filters"
        if self.min_match is not None and self.match is not None and self.match < self.min_match:
            limit = f"{self.min_match:.3f} (--max-false-accepts)"
            return f"not in the catalog: the probability of a match, {self.match:.3f}, is below {limit}"
        if self.min_score is not None and self.closest < self.min_score:
            return f"not in the catalog: the best score, {self.closest:.3f}, is below {self.min_score:.3f}"
        return "no product has the confidence that --min-confidence asks for"

    @property
    def pictures(self) -> tuple[Picture | bytes, ...]:
        """What to show for the query: its photos, else the file that it is called after."""
        return self.photos or (Path(self.query),)


@dataclass(frozen=True)
class QueryReport:
    """Answers as they come, and what could not be used; `skipped` is complete once all answers have been taken."""

    index: str
    """The index folder, or the address of the collection."""
    answers: Iterable[Answer]
    """One entry for each query."""
    skipped: list[Skipped] = field(default_factory=list)
    """Inputs that could not be used."""
    columns: Columns = field(default_factory=Columns)  # what tables, CSV and pages show; JSON has them in each hit


def _text(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    return f"{value:.{decimals}f}" if decimals and isinstance(value, float) else str(value)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as `--format json` prints it: probabilities and cosines with six decimals."""
    hits = [
        vars(hit)  # a copy comes of it, without the time of asdict, which is a tenth of a served answer's
        | {"score": round(hit.score, 6), "cosine": round(hit.cosine, 6), "confidence": _rounded(hit.confidence)}
        for hit in answer.hits
    ]
    fields: dict[str, Any] = {"query": answer.query, "hits": hits, "closest": _rounded(answer.closest)}
    fields |= {"min_score": answer.min_score, "match": _rounded(answer.match), "min_match": _rounded(answer.min_match)}
    fields["crop"] = None if answer.crop is None else [round(edge, 1) for edge in answer.crop]
    return fields | ({"stages": [stage._asdict() for stage in answer.stages]} if answer.stages else {})


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)


def cells(answer: Answer, hit: Hit, columns: Columns) -> list[str]:
    """Return the cells of a hit in CSV.

    Args:
        answer: the answer.
        hit: one of its hits.
        columns: of the catalog; they come after those of `HEADINGS`.
    """
    confidence = "" if hit.confidence is None else f"{hit.confidence:.6f}"
    return [*plain_cells(answer, hit), confidence, *columns.texts(hit)]


def plain_cells(answer: Answer, hit: Hit) -> list[str]:
    """Return the cells of a hit that TSV and CSV share."""
    return [answer.query, str(hit.rank), f"{hit.score:.6f}", hit.product, hit.image]
