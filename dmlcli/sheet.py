"""The contact sheet: each query and its hits in a row, with score and product, as one picture."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from dmlcli import disk
from dmlcli.catalog import Photo
from dmlcli.errors import CannotRun, ImageError
from dmlcli.image import open_image
from dmlcli.report.query import Answer, Picture

_TILE, _GAP, _TEXT, _MARGIN = 180, 12, 40, 20  # pixels
_MOST_HITS, _MOST_ROWS = 10, 100
_PAPER, _INK, _FAINT, _QUERY, _DARK = "#fafaf8", "#1d1d1f", "#6e6e73", "#c2410c", "#101012"


def drawing(target: Path, answers: Iterable[Answer]) -> Iterator[Answer]:
    """Pass the answers on; draw the first hundred into `target` once they have come, or once nobody asks for more."""
    kept: list[Answer] = []
    try:
        for answer in answers:
            if len(kept) < _MOST_ROWS:
                kept.append(answer)
            yield answer
    finally:
        if kept:
            draw(target, kept)


def draw(target: Path, answers: list[Answer]) -> None:
    """Draw one row for each answer; raises CannotRun where the picture cannot be written."""
    columns = 1 + min(max(len(answer.hits) for answer in answers), _MOST_HITS)
    width = 2 * _MARGIN + columns * _TILE + columns * _GAP
    height = 2 * _MARGIN + len(answers) * (_TILE + _TEXT) + (len(answers) - 1) * _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for row, answer in enumerate(answers):
        top = _MARGIN + row * (_TILE + _TEXT + _GAP)
        _place(sheet, pen, (_MARGIN, top), answer.pictures[0], "query", "/".join(Path(answer.query).parts[-2:]), _QUERY)
        for column, hit in enumerate(answer.hits[:_MOST_HITS], start=1):
            left = _MARGIN + column * (_TILE + _GAP) + _GAP
            photo, name = Photo(Path(hit.image), hit.box), hit.product or Path(hit.image).name
            _place(sheet, pen, (left, top), photo, f"{hit.score:.3f}", name, _INK)
    try:
        with disk.new_file(target) as draft:
            sheet.save(draft)
    except (OSError, ValueError) as error:
        raise CannotRun(
            f"cannot write {target}: {error}", hint="--sheet takes a file name that ends in .png"
        ) from error


def _place(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    photo: Picture | bytes,
    head: str,
    line: str,
    colour: str,
) -> None:
    left, top = corner
    tile = _thumbnail(photo, _TILE)
    sheet.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
    if colour == _QUERY:
        pen.rectangle((left - 3, top - 3, left + _TILE + 2, top + _TILE + 2), outline=_QUERY, width=3)
    pen.text((left, top + _TILE + 5), head, fill=colour, font=ImageFont.load_default(14))
    font = ImageFont.load_default(13)
    pen.text((left, top + _TILE + 22), _fitting(line, font), fill=_FAINT, font=font)


def strip(answer: Answer, tile: int, most: int) -> Image.Image:
    """One row of pictures without words: the query, framed, and its first hits."""
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
        return Image.new("RGB", (tile, tile), "#e5e5e0")  # only a vector, or gone since it was indexed


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, its middle left out where it is wider than a tile."""
    if font.getlength(text) <= _TILE:
        return text
    keep = len(text) // 2
    while keep > 1 and font.getlength(f"{text[:keep]}…{text[-keep:]}") > _TILE:
        keep -= 1
    return f"{text[:keep]}…{text[-keep:]}"
