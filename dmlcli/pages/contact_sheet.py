"""The contact sheet (`query --sheet`): one image with each query and its hits in a row, with score and product."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageOps

from dmlcli import progress, storage
from dmlcli.catalog import Photo
from dmlcli.errors import CannotRun, ImageError
from dmlcli.image import open_image
from dmlcli.pages import fonts
from dmlcli.report.query import Answer, Picture

_GAP, _TEXT, _MARGIN = 12, 40, 20  # pixels
_ACROSS = 10  # hits beside a query; more stand below them
_TILES = (180, 128, 96)  # pixels: the largest of these sides with which all fits into the most pixels
_MOST_PIXELS = 9_500_000  # of all tiles; a PNG of photos has about two bytes for each
_MOST_TILES = _MOST_PIXELS // _TILES[-1] ** 2
_HEAD, _LINE = 14, 13  # sizes of type
_PAPER, _INK, _FAINT, _QUERY, _DARK = "#fafaf8", "#1d1d1f", "#6e6e73", "#c2410c", "#101012"


class _Tile(NamedTuple):
    """An image on the sheet and the two lines of text below it."""

    photo: Picture | bytes
    head: str
    line: str
    is_query: bool


def drawing(target: Path, answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the answers unchanged, and draw the sheet after the last one, or once no more are taken.

    Args:
        target: the file of the sheet; its suffix is the format.
        answers: the first of them are drawn, as many as fit; a warning says how many do not.
    """
    kept: list[Answer] = []
    tiles = count = 0
    try:
        for answer in answers:
            count += 1
            if tiles < _MOST_TILES:
                kept.append(answer)
                tiles += 1 + len(answer.hits)
            yield answer
    finally:
        if kept:
            draw(target, kept, count)


def draw(target: Path, answers: list[Answer], count: int = 0) -> None:
    """Draw the answers, the hits of each in lines of ten, and warn if some do not fit.

    Args:
        target: the file of the sheet; its suffix is the format.
        answers: drawn until the sheet is full.
        count: the number of answers of the query, if it is larger than that of `answers`.

    Raises:
        CannotRun: the file cannot be written.
    """
    rows = _fitting(answers)
    tiles = sum(map(len, rows))
    side = next((side for side in _TILES if tiles * side**2 <= _MOST_PIXELS), _TILES[-1])
    lines = [max(-(-(len(row) - 1) // _ACROSS), 1) for row in rows]
    columns = 1 + max(min(len(row) - 1, _ACROSS) for row in rows)
    width = 2 * _MARGIN + columns * (side + _GAP)
    height = 2 * _MARGIN + sum(lines) * (side + _TEXT + _GAP) - _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen, unknown, top = ImageDraw.Draw(sheet), set[str](), _MARGIN
    for row, used in zip(rows, lines, strict=True):
        for place, tile in enumerate(row):
            down, across = divmod(max(place - 1, 0), _ACROSS)
            left = _MARGIN if tile.is_query else _MARGIN + (across + 1) * (side + _GAP) + _GAP
            unknown |= _place(sheet, pen, (left, top + down * (side + _TEXT + _GAP)), tile, side)
        top += used * (side + _TEXT + _GAP)
    _save(sheet, target)
    _warn(target, rows, answers, max(count, len(answers)), unknown)


def _fitting(answers: list[Answer]) -> list[list[_Tile]]:
    """Return the tiles of the answers that fit with all their hits; of the first one, as many hits as fit."""
    rows: list[list[_Tile]] = []
    left = _MOST_TILES
    for answer in answers:
        if rows and left < 1 + len(answer.hits):
            break
        name = "/".join(Path(answer.query).parts[-2:])
        hits = [
            _Tile(Photo(Path(hit.image), hit.box), f"{hit.score:.3f}", hit.product or Path(hit.image).name, False)
            for hit in answer.hits[: left - 1]
        ]
        rows.append([_Tile(answer.pictures[0], "query", name, True), *hits])
        left -= len(rows[-1])
    return rows


def _place(sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], tile: _Tile, side: int) -> set[str]:
    """Draw one tile; return the characters that no font has."""
    left, top = corner
    picture = _thumbnail(tile.photo, side)
    sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    if tile.is_query:
        pen.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=_QUERY, width=3)
    fonts.write(pen, (left, top + side + 5), tile.head, _HEAD, _QUERY if tile.is_query else _INK)
    line = fonts.fitting(tile.line, _LINE, side)
    fonts.write(pen, (left, top + side + 22), line, _LINE, _FAINT)
    return fonts.missing(line)


def _save(sheet: Image.Image, target: Path) -> None:
    try:
        with storage.new_file(target) as draft:
            sheet.save(draft)
    except (OSError, ValueError) as error:
        raise CannotRun(
            f"cannot write {target}: {error}", hint="--sheet takes a file name that ends in .png"
        ) from error


def _warn(target: Path, rows: list[list[_Tile]], answers: list[Answer], count: int, unknown: set[str]) -> None:
    if len(rows) < count:
        progress.warn(
            f"{target} shows the first {len(rows)} of {count} queries; more do not fit (use --html, or a smaller -k)"
        )
    elif len(rows[-1]) - 1 < len(answers[-1].hits):
        progress.warn(f"{target} shows the first {len(rows[-1]) - 1} of {len(answers[-1].hits)} hits; more need --html")
    if unknown:
        letters = " ".join(sorted(unknown)[:10]) + (" …" if len(unknown) > 10 else "")
        progress.warn(
            f"{target}: no installed font has the characters {letters}; they are drawn as "
            "\N{REPLACEMENT CHARACTER} (--html shows them)"
        )


def strip(answer: Answer, tile: int, most: int) -> Image.Image:
    """Return one row of images without text: the query in a frame, and its first hits.

    Args:
        answer: the query and its hits.
        tile: the side of each image in pixels.
        most: how many images there are at most, with that of the query.
    """
    photos = [answer.pictures[0], *(Photo(Path(hit.image), hit.box) for hit in answer.hits[: most - 1])]
    gap = max(tile // 16, 2)
    row = Image.new("RGB", (len(photos) * tile + (len(photos) - 1) * gap, tile), _DARK)
    for place, photo in enumerate(photos):
        picture = _thumbnail(photo, tile)
        left = place * (tile + gap)
        row.paste(picture, (left + (tile - picture.width) // 2, (tile - picture.height) // 2))
    frame = (0, 0, tile - 1, tile - 1)
    ImageDraw.Draw(row).rectangle(frame, outline=_QUERY, width=max(tile // 48, 1))
    return row


def _thumbnail(photo: Picture | bytes, tile: int) -> Image.Image:
    try:
        data = photo if isinstance(photo, bytes) else photo.read_bytes()
        return ImageOps.contain(open_image(data, at_least=2 * tile), (tile, tile))
    except (ImageError, OSError):
        return Image.new("RGB", (tile, tile), "#e5e5e0")  # the item has a vector only, or its file no longer exists
