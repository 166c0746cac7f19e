"""The picture of `query --explain-match`: each hit beside the query, with the places that carry the cosine in color."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from dmlcli import progress, storage
from dmlcli.catalog import Photo
from dmlcli.errors import CannotRun, ImageError
from dmlcli.image import Box, Picture, open_image
from dmlcli.pages import fonts
from dmlcli.report.query import Answer, Hit, Part

_SIDE, _GAP, _MARGIN, _TEXT = 260, 8, 20, 48  # pixels: of a photo, between two, around all, for the lines below
_ACROSS = 2  # pairs in a line
MOST = 20  # pairs on a picture, and on a page
_TITLE, _HEAD, _LINE, _TOP = 16, 14, 13, 58  # sizes of type; pixels above the first line
_PAPER, _INK, _FAINT = "#fafaf8", "#1d1d1f", "#6e6e73"
_HEAT = (255, 122, 0)  # the color of places that carry the match
_STRONGEST, _MUTED = 0.7, 0.2  # opacity of the strongest place; saturation of the photo below
_KNEE = 95  # percentile of the positive terms that is drawn as the strongest


class Side(Protocol):
    """One photo of a match: its file, the square that the model sees, and the terms of the cosine there."""

    @property
    def data(self) -> bytes:
        """The image file."""

    @property
    def seen(self) -> Box:
        """In pixels of the upright photo."""

    @property
    def terms(self) -> NDArray[np.float32]:
        """(n, n), their sum is the cosine."""


class Pair(Protocol):
    """A query and a hit."""

    @property
    def query(self) -> Side:
        """The photo that was searched with."""

    @property
    def hit(self) -> Side:
        """The photo that was found."""


Explain = Callable[[bytes, Part, bytes, Part], Any]  # photo and part of the query, then of a hit, to a Pair


class _Tile(NamedTuple):
    """A pair on the picture, with the lines below it."""

    pair: Pair
    head: str
    line: str


def drawing(target: Path, answers: Iterable[Answer], heading: Mapping[str, str], explain: Explain) -> Iterator[Answer]:
    """Yield the answers unchanged, and draw the first hits after the last one.

    Args:
        target: the file of the picture; its suffix is the format.
        answers: those with a photo are drawn, until the picture is full; a warning says what is left out.
        heading: what is written at the top: catalog, model, date.
        explain: returns the terms of the cosine of a query and a hit.

    Raises:
        CannotRun: the file cannot be written.
    """
    tiles: list[_Tile] = []
    left_out = 0
    try:
        for answer in answers:
            for hit in answer.hits:
                tile = _tile(answer, hit, explain) if len(tiles) < MOST else None
                left_out += tile is None
                tiles += [tile] if tile is not None else []
            yield answer
    finally:
        if tiles:
            _draw(target, tiles, heading)
    if not tiles:
        progress.warn(f"{target} was not written: no hit can be compared with a photo that was searched with")
    elif left_out:
        progress.warn(f"{target} shows {len(tiles)} hits and omits {left_out} (at most {MOST} fit; use a smaller -k)")


def matched(answer: Answer, hit: Hit, explain: Explain) -> Pair | None:
    """Return a query and a hit with the terms of their cosine; None where a photo of the two cannot be read.

    Args:
        answer: with one photo, else there is nothing to compare.
        hit: of the answer.
        explain: returns the terms.
    """
    if len(answer.photos) != 1:
        return None
    photo = answer.photos[0]
    try:
        data = photo if isinstance(photo, bytes) else photo.read_bytes()
        pair: Pair = explain(data, answer.crop, Photo(Path(hit.image), None).read_bytes(), hit.box)
    except (ImageError, OSError):
        return None
    return pair


def _tile(answer: Answer, hit: Hit, explain: Explain) -> _Tile | None:
    """Return a hit beside its query; None where a photo of the two cannot be read."""
    pair = matched(answer, hit, explain)
    if pair is None:
        return None
    head = "   ".join(filter(None, (str(hit.rank), f"cosine {hit.cosine:.3f}", hit.percent())))
    return _Tile(pair, head, f"{hit.product or Path(hit.image).name}  ·  {'/'.join(Path(answer.query).parts[-2:])}")


def _draw(target: Path, tiles: list[_Tile], heading: Mapping[str, str]) -> None:
    across = min(_ACROSS, len(tiles))
    pair = 2 * _SIDE + _GAP
    down = _SIDE + _TEXT + 2 * _GAP
    size = (2 * _MARGIN + across * pair + (across - 1) * 4 * _GAP, _TOP + _MARGIN + -(-len(tiles) // across) * down)
    sheet = Image.new("RGB", size, _PAPER)
    pen = ImageDraw.Draw(sheet)
    title = " · ".join(f"{name} {value}" for name, value in heading.items())
    fonts.write(pen, (_MARGIN, _MARGIN - 4), fonts.fitting(title, _TITLE, size[0] - 2 * _MARGIN), _TITLE, _INK)
    for number, tile in enumerate(tiles):
        left = _MARGIN + number % across * (pair + 4 * _GAP)
        top = _TOP + number // across * down
        for place, side in enumerate((tile.pair.query, tile.pair.hit)):
            photo = overlay(side, _SIDE)
            corner = left + place * (_SIDE + _GAP)
            sheet.paste(photo, (corner + (_SIDE - photo.width) // 2, top + (_SIDE - photo.height) // 2))
        fonts.write(pen, (left, top + _SIDE + 5), fonts.fitting(tile.head, _HEAD, pair), _HEAD, _INK)
        fonts.write(pen, (left, top + _SIDE + 25), fonts.fitting(tile.line, _LINE, pair), _LINE, _FAINT)
    try:
        with storage.new_file(target) as draft:
            sheet.save(draft)
    except (OSError, ValueError) as error:
        hint = "--explain-match takes a file name that ends in .png"
        raise CannotRun(f"cannot write {target}: {error}", hint=hint) from error


def overlay(side: Side, pixels: int) -> Image.Image:
    """Return a photo whose places are the more colored, the more they add to the cosine; negative terms are not drawn.

    Args:
        side: the photo and its terms.
        pixels: length of the longer side.
    """
    picture = Picture(side.data)
    photo = ImageOps.contain(open_image(side.data, at_least=pixels), (pixels, pixels))
    by = photo.width / picture.width
    left, top, right, bottom = (round(edge * by) for edge in side.seen)
    heat = np.maximum(side.terms, 0)
    strongest = float(np.percentile(heat[heat > 0], _KNEE)) if (heat > 0).any() else 1.0
    opacity = np.clip(heat / strongest, 0, 1) * _STRONGEST
    mask = Image.fromarray((255 * opacity).astype(np.uint8)).resize(
        (max(1, right - left), max(1, bottom - top)), Image.Resampling.BICUBIC
    )
    muted = Image.blend(photo.convert("L").convert("RGB"), photo, _MUTED)
    whole = Image.new("L", photo.size, 0)
    whole.paste(mask, (left, top))
    return Image.composite(Image.new("RGB", photo.size, _HEAT), muted, whole)
