"""One photo by itself: can it be read, is it of a usable size, are its colors stored in an odd way?"""

from collections.abc import Iterator

from dmlcli.checks.perceptual_hash import Header
from dmlcli.checks.scan import Shot
from dmlcli.errors import ImageError, MissingError
from dmlcli.report.doctor import Problem, Severity

TINY = 32  # pixels of the short side; a model sees 224 and more
HUGE = 64_000_000  # pixels
LONG = 5  # times longer than wide, or wider than long


def problems(shot: Shot) -> Iterator[Problem]:
    """What is wrong, or odd, with one photo."""
    path = str(shot.path)
    if shot.header is None:
        yield _unreadable(path, shot.error)
        return
    for name, severity, detail, suggestion in _oddities(shot.header, shot.blank):
        yield Problem(path, name, "", suggestion, severity, detail)


def unreadable(path: str, reason: str) -> Problem:
    """A file that is called an image and is none."""
    return Problem(path, "unreadable", "", "replace or remove the file; every verb skips it", "problem", reason)


def _unreadable(path: str, error: ImageError | None) -> Problem:
    reason = str(error)
    if isinstance(error, MissingError):
        suggestion = "correct the path or remove the row; --root DIR says what paths are relative to"
        return Problem(path, "missing", "", suggestion, "problem", reason)
    if "truncated" in reason:
        return Problem(path, "truncated", "", "copy the file again from where it came", "problem", reason)
    return unreadable(path, reason)


def _oddities(header: Header, blank: bool) -> Iterator[tuple[str, Severity, str, str]]:
    short, long = sorted((header.width, header.height))
    size = f"{header.width} x {header.height}"
    if short < TINY:
        yield "tiny", "problem", size, f"find a larger photo: under {TINY} pixels there is little to recognize"
    if long > LONG * short:
        yield "long", "problem", size, "cut it to the product: models see the center square alone"
    if header.width * header.height > HUGE:
        yield "huge", "notice", size, "a smaller copy is read faster; models see a few hundred pixels"
    if blank:
        yield "blank", "problem", "one color all over", "replace or remove the photo"
    if header.mode == "CMYK":
        yield "cmyk", "problem", "stored for print", "convert it to RGB: its colors are only roughly right"
    elif header.mode.startswith("I") or header.mode == "F":
        yield "16-bit", "problem", f"mode {header.mode}", "convert it to 8 bits, so that its white point is your choice"
    elif header.mode in ("P", "PA", "1"):
        yield "palette", "notice", f"mode {header.mode}", "nothing to do; a JPEG or PNG in full color looks better"
    if header.transparent:
        yield (
            "alpha",
            "notice",
            "transparent",
            "nothing to do if white behind it is right; lay it on another color else",
        )
    if header.rotated:
        yield "rotated", "notice", "turned by EXIF", "nothing to do: it is turned here; other tools may not turn it"
