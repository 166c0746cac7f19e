"""Answers for clients: the JSON and CSV of `query`, with addresses of photos in place of paths."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dmlcli import printable
from dmlcli.report.query import HEADINGS, Answer, Columns, answer_json, cells

if TYPE_CHECKING:
    from dmlcli.server.open_index import Opened

SCHEMA = 1  # as that of the command line


def photo_url(number: str, opened: "Opened", index: str) -> str:
    """Return the address of a photo: it changes with the index, so that browsers may keep the photo.

    Args:
        number: the id of the item.
        opened: the index.
        index: its name.
    """
    return f"/v1/items/{number}/photo?v={opened.version}&index={quote(index, safe='')}"


def public(answer: Answer, opened: "Opened", index: str, show_paths: bool) -> dict[str, Any]:
    """Return an answer as JSON.

    Args:
        answer: the answer.
        opened: the index that was searched.
        index: its name.
        show_paths: whether each hit has the path of its file.
    """
    values: dict[str, Any] = {"schema": SCHEMA, "index": index} | answer_json(answer)
    for hit in values["hits"]:
        if show_paths:
            hit["path"] = str(Path(hit["image"]).absolute())
        hit["image"] = photo_url(hit["id"], opened, index)
    return values if answer.hits else values | {"why_empty": answer.why_empty()}


def csv(answer: Answer, columns: Columns, opened: "Opened", index: str, show_paths: bool) -> str:
    """Return an answer as `query --format csv` prints it.

    Args:
        answer: the answer.
        columns: of the catalog.
        opened: the index that was searched.
        index: its name.
        show_paths: whether the files are named.
    """
    lines = [printable.csv([*HEADINGS, *columns.headings(HEADINGS)])]
    for hit in answer.hits:
        shown = hit if show_paths else replace(hit, image=photo_url(hit.id, opened, index))
        lines.append(printable.csv(cells(answer, shown, columns)))
    return "\n".join(lines) + "\n"
