"""Groups of near-identical images or products as one page (`duplicates --html`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.pages.rendering import render, today
from dmlcli.pages.thumbnails import Thumbnail, thumbnail
from dmlcli.report.duplicates import Alike, DuplicatesReport

_MOST_GROUPS, _MOST_MEMBERS, _PIXELS = 200, 12, 240  # on one page, so that browsers can open it


class _Member(NamedTuple):
    """An image, or a product with one of its images."""

    alike: Alike
    picture: Thumbnail
    short_file: str


class _Group(NamedTuple):
    """The members that are shown, and how many are not."""

    members: list[_Member]
    left_out: int


def write(
    target: Path, groups: Sequence[Sequence[tuple[Alike, Photo]]], report: DuplicatesReport, catalog: Path
) -> None:
    """Write the page, whole or not at all.

    Args:
        target: the file of the page.
        groups: the largest first; the first of them are shown, as many as one page can hold.
        report: how they were found.
        catalog: the folder that the paths of the index are relative to.
    """
    shown = [
        _Group([_member(*one) for one in group[:_MOST_MEMBERS]], max(0, len(group) - _MOST_MEMBERS))
        for group in groups[:_MOST_GROUPS]
    ]
    heading = {"catalog": catalog.name or str(catalog), "index": report.index, "date": today()}
    page = render("duplicates.html", heading, groups=shown, report=report)
    storage.write_text(target, page)


def _member(alike: Alike, photo: Photo) -> _Member:
    name = alike.product or Path(alike.image).name
    return _Member(alike, thumbnail(name, photo, _PIXELS), "/".join(Path(alike.image).parts[-2:]))
