"""Text in images: DejaVu Sans, which is part of the package, and fonts of the system for other characters (CJK).

A text is split into runs of one font each. A character that no font has is drawn as U+FFFD and reported by `missing`.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageDraw, ImageFont

__all__ = ["ascent", "fitting", "missing", "printable", "width", "write"]
_OWN = Path(__file__).parent / "DejaVuSans.ttf"
_FOLDERS = (  # of Linux, macOS and Windows
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/System/Library/Fonts",
    "/Library/Fonts",
    "~/Library/Fonts",
    "C:/Windows/Fonts",
)
_SUFFIXES = (".ttf", ".otf", ".ttc")
_MOST_FONTS = 500  # looked into for a character
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"
_NO_CHARACTER = "\U0010ffff"  # which every font draws as it draws what it lacks


def printable(text: str) -> str:
    """Return the text on one line: white space as blanks, other control characters and half pairs as U+FFFD."""
    return "".join(map(_printable, text))


def missing(text: str) -> set[str]:
    """Return the characters of a printable text that no font has."""
    return {character for character in set(text) if _font_of(character) is None}


def width(text: str, size: int) -> float:
    """Return the width of a printable text in pixels."""
    return sum(font.getlength(part) for font, part in _runs(text, size))


def ascent(size: int) -> int:
    """Return how far the baseline of a line is below its top, in pixels."""
    return _opened(_OWN, size).getmetrics()[0]


def fitting(text: str, size: int, most: int) -> str:
    """Return a printable text, with its middle left out if it is too wide.

    Args:
        text: any text.
        size: of the letters, in pixels.
        most: width in pixels.
    """
    whole = len(text) <= most  # no letter is narrower than a pixel
    shown = printable(text if whole else text[:most] + text[-most:])
    if whole and width(shown, size) <= most:
        return shown
    low, high = 1, len(shown) // 2  # letters of each end that fit, and that may
    while low < high:
        middle = (low + high + 1) // 2
        if width(f"{shown[:middle]}…{shown[-middle:]}", size) <= most:
            low = middle
        else:
            high = middle - 1
    return f"{shown[:low]}…{shown[-low:]}"


def write(pen: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, size: int, color: str) -> None:
    """Draw a printable text.

    Args:
        pen: draws on an image.
        corner: left end of the top of the line, in pixels.
        text: any text.
        size: of the letters, in pixels.
        color: of the text.
    """
    left, top = corner
    baseline = top + ascent(size)
    for font, part in _runs(text, size):
        pen.text((left, baseline), part, fill=color, font=font, anchor="ls")
        left += font.getlength(part)


def _printable(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category == "Cf":  # joiners and marks of direction, which are not seen
        return ""
    return _UNKNOWN if category in ("Cc", "Cs", "Cn", "Co") else character


def _runs(text: str, size: int) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
    """The parts of a text, each with the font that has its characters."""
    known = [(_font_of(character), character) for character in text]
    for file, part in groupby(known, key=lambda one: one[0]):
        letters = "".join(letter for _, letter in part)
        yield _opened(file or _OWN, size), letters if file else _UNKNOWN * len(letters)


@lru_cache(4096)
def _font_of(character: str) -> Path | None:
    """The first font that has a character."""
    return next((file for file in (_OWN, *_system_fonts()) if _has(file, character)), None)


@lru_cache(1)
def _system_fonts() -> tuple[Path, ...]:
    """The fonts of this system, those for many scripts and of usual weight first."""
    folders = [Path(folder).expanduser() for folder in _FOLDERS]
    files = [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix.lower() in _SUFFIXES]
    return tuple(sorted(files, key=_rank)[:_MOST_FONTS])


def _rank(file: Path) -> tuple[bool, bool]:
    name = file.stem.lower()
    return (
        any(style in name for style in ("bold", "italic", "oblique", "light", "thin", "black", "mono", "serif")),
        not any(family in name for family in ("notosans", "unicode", "pingfang", "msgothic", "unifont", "droidsans")),
    )


def _has(file: Path, character: str) -> bool:
    try:
        font = _opened(file, 16)
        return character == " " or _drawn(font, character) != _drawn(font, _NO_CHARACTER)
    except (OSError, ValueError):  # damaged, or a font of pictures that has another size alone
        return False


def _drawn(font: ImageFont.FreeTypeFont, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character, mode="L")
    return mask.size, bytes(mask)


@lru_cache(64)
def _opened(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(file), size)
