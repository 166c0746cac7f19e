"""The hits of queries as one page (`query --html`): pictures, scores and columns, with keys to move between them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.pages import match_sheet
from dmlcli.pages.match_sheet import MOST, Explain
from dmlcli.pages.rendering import render
from dmlcli.pages.thumbnails import Thumbnail, from_picture, thumbnail
from dmlcli.report.query import Answer, Columns, Hit, Part, Picture

_MOST_QUERIES, _MOST_HITS, _MOST_PHOTOS = 200, 2500, 6  # on one page, so that browsers can open it
_LARGE, _SMALL = 640, 320  # pixels of a photo, which Enter enlarges
_MOST_LARGE = 100  # photos of a page; later ones are small, so that it stays below 10 MB as long as it can


@dataclass(frozen=True)
class _ShownHit:
    """What the template shows of a hit, one field for each thing."""

    rank: int
    name: str
    score: float
    confidence: str  # in percent; "" where it is not known
    cosine_percent: int  # the length of the bar
    picture: Thumbnail
    facts: dict[str, str]  # category and the user's columns
    file: str
    short_file: str
    match: list[Thumbnail]  # query and hit with the places that match in color; [] where they are not drawn


@dataclass(frozen=True)
class _ShownAnswer:
    """What the template shows of a query."""

    query: str
    short_query: str
    pictures: list[Thumbnail]
    hits: list[_ShownHit]
    note: str  # on hits that are not there


def writing(
    target: Path,
    answers: Iterable[Answer],
    heading: Mapping[str, str],
    columns: Columns | None = None,
    explain: Explain | None = None,
) -> Iterator[Answer]:
    """Yield the answers unchanged, and write the page after the last one, or once no more are taken.

    Args:
        target: the file of the page.
        answers: the first of them are shown, as many as one page can hold.
        heading: what is written below the title: catalog, model, date.
        columns: of the catalog, shown below each hit; None: all that a hit has.
        explain: returns the terms of the cosine of a query and a hit, for the first hits; None: they are not shown.
    """
    shown: list[_ShownAnswer] = []
    page = _Page(columns, explain)
    count, room = 0, _MOST_HITS
    try:
        for answer in answers:
            count += 1
            if len(shown) < _MOST_QUERIES and (room >= len(answer.hits) or not shown):
                shown.append(page.answer(answer, room))
                room -= len(answer.hits)
            else:
                room = -1  # the first are shown, not those that happen to fit
            yield answer
    finally:
        if shown:
            storage.write_text(
                target, render("hits.html", heading, answers=shown, queries=count, explains=explain is not None)
            )


class _Page:
    """Makes what is shown of answers; a photo that is shown several times is decoded once."""

    def __init__(self, columns: Columns | None, explain: Explain | None) -> None:
        self._columns, self._explain = columns, explain
        self._left = MOST  # matches that are still drawn
        self._photos: dict[tuple[str, Part], Thumbnail] = {}

    def answer(self, answer: Answer, most: int) -> _ShownAnswer:
        """Return what is shown of an answer, with at most `most` hits."""
        name = _short(answer.query)
        return _ShownAnswer(
            query=answer.query,
            short_query=name,
            pictures=[self._new(f"query: {name}", photo, answer.crop) for photo in answer.pictures[:_MOST_PHOTOS]],
            hits=[self._hit(hit, self._match(answer, hit)) for hit in answer.hits[:most]],
            note=_note(answer, most),
        )

    def _hit(self, hit: Hit, match: list[Thumbnail]) -> _ShownHit:
        name = hit.product or Path(hit.image).name
        columns = self._columns or Columns({"category": 0} | dict.fromkeys(hit.columns, 0))
        facts = zip(columns.decimals, columns.texts(hit), strict=True)
        key = (hit.image, hit.box)
        if key not in self._photos:
            self._photos[key] = self._new(name, Photo(Path(hit.image), hit.box))
        return _ShownHit(
            rank=hit.rank,
            name=name,
            score=hit.score,
            confidence=hit.percent(),
            cosine_percent=round(100 * max(hit.cosine, 0)),
            picture=self._photos[key]._replace(name=f"rank {hit.rank}: {name}"),
            facts={column: text for column, text in facts if text},
            file=hit.image,
            short_file=_short(hit.image),
            match=match,
        )

    def _match(self, answer: Answer, hit: Hit) -> list[Thumbnail]:
        pair = match_sheet.matched(answer, hit, self._explain) if self._explain and self._left else None
        if pair is None:
            return []
        self._left -= 1
        names = ("the query, where it matches", "the hit, where it matches")
        return [
            from_picture(name, match_sheet.overlay(side, _SMALL))
            for name, side in zip(names, (pair.query, pair.hit), strict=True)
        ]

    def _new(self, name: str, image: Picture | bytes, crop: Part = None) -> Thumbnail:
        return thumbnail(name, image, _LARGE if len(self._photos) < _MOST_LARGE else _SMALL, crop)


def _note(answer: Answer, most: int) -> str:
    if len(answer.hits) > most:
        return f"The first {most} of {len(answer.hits)} hits are shown."
    if answer.hits:
        return ""
    reason = answer.why_empty()
    return f"{reason[0].upper()}{reason[1:]}."


def _short(path: str) -> str:
    """Return the last two parts of a path; the page has the whole path as a tooltip."""
    return "/".join(Path(path).parts[-2:])
