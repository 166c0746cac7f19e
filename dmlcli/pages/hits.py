"""The hits of queries as one page (`query --html`): pictures, scores and columns, with keys to move between them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.pages.rendering import render
from dmlcli.pages.thumbnails import Thumbnail, data_uri
from dmlcli.report.query import Answer, Hit, Picture

_MOST_QUERIES, _MOST_HITS, _MOST_PHOTOS, _PIXELS = 200, 2500, 6, 320  # on one page, so that browsers can open it


@dataclass(frozen=True)
class _ShownHit:
    """What the template shows of a hit."""

    rank: int
    name: str
    score: float
    cosine_percent: int  # the length of the bar
    picture: Thumbnail
    facts: dict[str, Any]  # category and the user's columns
    file: str
    short_file: str


@dataclass(frozen=True)
class _ShownAnswer:
    """What the template shows of a query."""

    query: str
    short_query: str
    pictures: list[Thumbnail]
    hits: list[_ShownHit]
    note: str  # on hits that are not there


def writing(target: Path, answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the answers unchanged, and write the page after the last one, or once no more are taken.

    Args:
        target: the file of the page.
        answers: the first of them are shown, as many as one page can hold.
    """
    shown: list[_ShownAnswer] = []
    count, room = 0, _MOST_HITS
    try:
        for answer in answers:
            count += 1
            if len(shown) < _MOST_QUERIES and (room >= len(answer.hits) or not shown):
                shown.append(_answer(answer, room))
                room -= len(answer.hits)
            else:
                room = -1  # the first are shown, not those that happen to fit
            yield answer
    finally:
        if shown:
            storage.write_text(target, render("hits.html", answers=shown, queries=count))


def _answer(answer: Answer, most: int) -> _ShownAnswer:
    """Return what is shown of an answer, with at most `most` hits."""
    return _ShownAnswer(
        query=answer.query,
        short_query=_short(answer.query),
        pictures=[_thumbnail("query", photo) for photo in answer.pictures[:_MOST_PHOTOS]],
        hits=[_hit(hit) for hit in answer.hits[:most]],
        note=_note(answer, most),
    )


def _note(answer: Answer, most: int) -> str:
    if len(answer.hits) > most:
        return f"The first {most} of {len(answer.hits)} hits are shown."
    if answer.hits:
        return ""
    reason = "Not in the catalog" if answer.min_score is not None else "Nothing was found"
    closest = "" if answer.closest is None else f" (the closest has {answer.closest:.3f})"
    return f"{reason}{closest}."


def _hit(hit: Hit) -> _ShownHit:
    name = hit.product or Path(hit.image).name
    facts = {"category": hit.category} | hit.columns
    return _ShownHit(
        rank=hit.rank,
        name=name,
        score=hit.score,
        cosine_percent=round(100 * max(hit.cosine, 0)),
        picture=_thumbnail(name, Photo(Path(hit.image), hit.box)),
        facts={column: value for column, value in facts.items() if value not in ("", None)},
        file=hit.image,
        short_file=_short(hit.image),
    )


def _thumbnail(name: str, image: Picture | bytes) -> Thumbnail:
    return Thumbnail(name, data_uri(image, _PIXELS))


def _short(path: str) -> str:
    """Return the last two parts of a path; the page has the whole path as a tooltip."""
    return "/".join(Path(path).parts[-2:])
