"""Groups of near-identical images or products as one page (`duplicates --html`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dmlcli import storage
from dmlcli.catalog import Photo
from dmlcli.pages.rendering import render
from dmlcli.pages.thumbnails import Thumbnail, data_uri
from dmlcli.report.duplicates import Alike

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


def write(target: Path, groups: Sequence[Sequence[tuple[Alike, Photo]]], searched: str) -> None:
    """Write the page, whole or not at all.

    Args:
        target: the file of the page.
        groups: the largest first; the first of them are shown, as many as one page can hold.
        searched: what was compared, such as `432 images of .dmlcli/index`.
    """
    shown = [
        _Group([_member(*one) for one in group[:_MOST_MEMBERS]], max(0, len(group) - _MOST_MEMBERS))
        for group in groups[:_MOST_GROUPS]
    ]
    page = render("duplicates.html", groups=shown, total=len(groups), searched=searched)
    storage.write_text(target, page)


def _member(alike: Alike, photo: Photo) -> _Member:
    name = alike.product or Path(alike.image).name
    return _Member(alike, Thumbnail(name, data_uri(photo, _PIXELS)), "/".join(Path(alike.image).parts[-2:]))
