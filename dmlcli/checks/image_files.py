"""Checks of a single photo: readable, usable size, common color format."""

from collections.abc import Iterator

from dmlcli.checks.perceptual_hash import Header
from dmlcli.checks.scan import Shot
from dmlcli.errors import ImageError, MissingError
from dmlcli.report.doctor import Problem, Severity

TINY = 32  # pixels of the short side; a model sees 224 and more
HUGE = 64_000_000  # pixels
LONG = 5  # times longer than wide, or wider than long


def problems(shot: Shot) -> Iterator[Problem]:
    """Yield the problems and notices of one photo."""
    path = str(shot.path)
    if shot.header is None:
        yield _unreadable(path, shot.error)
        return
    for name, severity, detail, suggestion in _oddities(shot.header, shot.blank):
        yield Problem(path, name, "", suggestion, severity, detail)


def unreadable(path: str, reason: str) -> Problem:
    """Return the problem of a file with an image suffix that cannot be decoded."""
    return Problem(path, "unreadable", "", "replace or remove the file; all commands skip it", "problem", reason)


def _unreadable(path: str, error: ImageError | None) -> Problem:
    reason = str(error)
    if isinstance(error, MissingError):
        suggestion = "correct the path or remove the row; --root DIR sets the folder that paths are relative to"
        return Problem(path, "missing", "", suggestion, "problem", reason)
    if "truncated" in reason:
        return Problem(path, "truncated", "", "copy or download the file again", "problem", reason)
    return unreadable(path, reason)


def _oddities(header: Header, blank: bool) -> Iterator[tuple[str, Severity, str, str]]:
    short, long = sorted((header.width, header.height))
    size = f"{header.width} x {header.height}"
    if short < TINY:
        yield "tiny", "problem", size, f"use a larger photo: below {TINY} pixels, few details are visible"
    if long > LONG * short:
        yield "long", "problem", size, "crop it to the product: models only see the center square"
    if header.width * header.height > HUGE:
        yield "huge", "notice", size, "use a smaller copy, which loads faster; models use a few hundred pixels"
    if blank:
        yield "blank", "problem", "a single color", "replace or remove the photo"
    if header.mode == "CMYK":
        yield "cmyk", "problem", "print color space", "convert it to RGB: its colors are only approximate"
    elif header.mode.startswith("I") or header.mode == "F":
        yield "16-bit", "problem", f"mode {header.mode}", "convert it to 8 bits to control its white point"
    elif header.mode in ("P", "PA", "1"):
        yield (
            "palette",
            "notice",
            f"mode {header.mode}",
            "no action needed; a full-color JPEG or PNG has better quality",
        )
    if header.transparent:
        yield (
            "alpha",
            "notice",
            "transparent",
            "no action needed if a white background is correct; otherwise add a background color",
        )
    if header.rotated:
        yield (
            "rotated",
            "notice",
            "rotated by EXIF",
            "no action needed: dmlcli applies the rotation; other tools may not",
        )
