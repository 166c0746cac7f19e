"""The contact sheet (`query --sheet`): images with each query and its hits in a row, with rank, score and product.

A sheet that would be too high for a screen or a printer goes on in another file, or on another page of a PDF.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageOps

from dmlcli import progress, storage
from dmlcli.catalog import Photo
from dmlcli.errors import CannotRun, ImageError
from dmlcli.image import open_image
from dmlcli.pages import crop_frame, fonts
from dmlcli.report.query import Answer, Columns, Part, Picture

_GAP, _TEXT, _MARGIN = 12, 40, 20  # pixels
_ACROSS = 10  # hits beside a query; more stand below them
_TILES = (180, 128, 96)  # pixels: the largest of these sides with which all fits into the most pixels
_MOST_PIXELS = 9_500_000  # of all tiles; a PNG of photos has about two bytes for each
_MOST_TILES = _MOST_PIXELS // _TILES[-1] ** 2
_MOST_HEIGHT = 4000  # pixels of a page
_TITLE, _HEAD, _LINE = 16, 14, 13  # sizes of type
_TITLE_HEIGHT, _LINE_HEIGHT = 34, 17
_PAPER, _INK, _FAINT, _QUERY, _DARK = "#fafaf8", "#1d1d1f", "#6e6e73", "#2563eb", "#101012"


class _Tile(NamedTuple):
    """An image on the sheet and the lines of text below it."""

    photo: Picture | bytes
    head: str
    lines: tuple[str, ...]
    is_query: bool
    crop: Part = None  # the part of the photo in a frame


def drawing(
    target: Path, answers: Iterable[Answer], heading: Mapping[str, str], columns: Columns | None = None
) -> Iterator[Answer]:
    """Yield the answers unchanged, and draw the sheet after the last one, or once no more are taken.

    Args:
        target: the file of the sheet; its suffix is the format.
        answers: the first of them are drawn, as many as fit; a warning says how many do not.
        heading: what is written at the top: catalog, model, date.
        columns: of the catalog, written below each hit; None: none.
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
            draw(target, kept, count, heading, columns)


def draw(
    target: Path,
    answers: list[Answer],
    count: int = 0,
    heading: Mapping[str, str] | None = None,
    columns: Columns | None = None,
) -> None:
    """Draw the answers, the hits of each in lines of ten, and warn if some do not fit.

    Args:
        target: the file of the sheet; its suffix is the format. Further pages go to files with -2, -3 in their names.
        answers: drawn until the sheet is full.
        count: the number of answers of the query, if it is larger than that of `answers`.
        heading: what is written at the top of each page; None: nothing.
        columns: of the catalog, written below each hit; None: none.

    Raises:
        CannotRun: a file cannot be written.
    """
    rows = _fitting(answers, columns)
    tiles = sum(map(len, rows))
    side = next((side for side in _TILES if tiles * side**2 <= _MOST_PIXELS), _TILES[-1])
    down = side + _TEXT + _LINE_HEIGHT * (len(columns.decimals) if columns else 0) + _GAP  # from line to line
    lines = [line for row in rows for line in _lines(row)]
    top = _MARGIN + (_TITLE_HEIGHT if heading else 0)
    fit = max(1, (_MOST_HEIGHT - top - _MARGIN + _GAP) // down)
    pages = [lines[start : start + fit] for start in range(0, len(lines), fit)]
    width = 2 * _MARGIN + (1 + max(len(line) - 1 for line in lines)) * (side + _GAP)
    sheets, unknown = [], set[str]()
    for number, page in enumerate(pages, start=1):
        sheet = Image.new("RGB", (width, top + _MARGIN + len(page) * down - _GAP), _PAPER)
        pen = ImageDraw.Draw(sheet)
        if heading:
            unknown |= _title(pen, heading, f"{number} of {len(pages)}" if len(pages) > 1 else "", width)
        for place, line in enumerate(page):
            for across, tile in enumerate(line):
                if tile is not None:
                    left = _MARGIN + across * (side + _GAP) + (_GAP if across else 0)
                    unknown |= _place(sheet, pen, (left, top + place * down), tile, side)
        sheets.append(sheet)
    _save(sheets, target)
    _warn(target, rows, answers, max(count, len(answers)), unknown)


def _fitting(answers: list[Answer], columns: Columns | None) -> list[list[_Tile]]:
    """Return the tiles of the answers that fit with all their hits; of the first one, as many hits as fit."""
    rows: list[list[_Tile]] = []
    left = _MOST_TILES
    for answer in answers:
        if rows and left < 1 + len(answer.hits):
            break
        name = "/".join(Path(answer.query).parts[-2:])
        hits = [
            _Tile(
                Photo(Path(hit.image), hit.box),
                "   ".join(filter(None, (str(hit.rank), f"{hit.score:.3f}", hit.percent()))),
                (hit.product or Path(hit.image).name, *(columns.texts(hit) if columns else ())),
                False,
            )
            for hit in answer.hits[: left - 1]
        ]
        rows.append([_Tile(answer.pictures[0], "query", (name,), True, answer.crop), *hits])
        left -= len(rows[-1])
    return rows


def _lines(row: list[_Tile]) -> Iterator[list[_Tile | None]]:
    """Yield the lines of one query: the first begins with the query, the others with an empty place."""
    yield [*row[: 1 + _ACROSS]]
    for start in range(1 + _ACROSS, len(row), _ACROSS):
        yield [None, *row[start : start + _ACROSS]]


def _title(pen: ImageDraw.ImageDraw, heading: Mapping[str, str], page: str, width: int) -> set[str]:
    """Write the line at the top of a page; return the characters that no font has."""
    facts = [f"{name} {value}" for name, value in heading.items()]
    title = fonts.fitting(" · ".join([*facts, *([f"page {page}"] if page else [])]), _TITLE, width - 2 * _MARGIN)
    fonts.write(pen, (_MARGIN, _MARGIN - 4), title, _TITLE, _INK)
    return fonts.missing(title)


def _place(sheet: Image.Image, pen: ImageDraw.ImageDraw, corner: tuple[int, int], tile: _Tile, side: int) -> set[str]:
    """Draw one tile; return the characters that no font has."""
    left, top = corner
    picture = _thumbnail(tile.photo, side, tile.crop)
    sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    if tile.is_query:
        pen.rectangle((left - 3, top - 3, left + side + 2, top + side + 2), outline=_QUERY, width=3)
    fonts.write(pen, (left, top + side + 5), tile.head, _HEAD, _QUERY if tile.is_query else _INK)
    unknown = set[str]()
    for number, text in enumerate(tile.lines):
        line = fonts.fitting(text, _LINE, side)
        fonts.write(pen, (left, top + side + 22 + number * _LINE_HEIGHT), line, _LINE, _FAINT)
        unknown |= fonts.missing(line)
    return unknown


def _save(sheets: list[Image.Image], target: Path) -> None:
    """Write the pages into one PDF, or into files whose names end in -2, -3 from the second one on."""
    is_pdf = target.suffix.lower() == ".pdf"
    files = [target, *(target.with_stem(f"{target.stem}-{number}") for number in range(2, len(sheets) + 1))]
    try:
        for file, sheet in zip(files, sheets, strict=True):
            with storage.new_file(file) as draft:
                if is_pdf:
                    sheet.save(draft, save_all=True, append_images=sheets[1:])
                    return
                sheet.save(draft)
    except (OSError, ValueError) as error:
        raise CannotRun(
            f"cannot write {target}: {error}", hint="--sheet takes a file name that ends in .png or .pdf"
        ) from error
    if len(files) > 1:
        progress.note(f"{target} goes on in {files[1]}" + (f" to {files[-1]}" if len(files) > 2 else ""))


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
        picture = _thumbnail(photo, tile, None if place else answer.crop)
        left = place * (tile + gap)
        row.paste(picture, (left + (tile - picture.width) // 2, (tile - picture.height) // 2))
    frame = (0, 0, tile - 1, tile - 1)
    ImageDraw.Draw(row).rectangle(frame, outline=_QUERY, width=max(tile // 48, 1))
    return row


def _thumbnail(photo: Picture | bytes, tile: int, crop: Part = None) -> Image.Image:
    try:
        data = photo if isinstance(photo, bytes) else photo.read_bytes()
        small = ImageOps.contain(open_image(data, at_least=2 * tile), (tile, tile))
        crop_frame.draw(small, data, crop)
        return small
    except (ImageError, OSError):
        return Image.new("RGB", (tile, tile), "#e5e5e0")  # the item has a vector only, or its file no longer exists
