"""dmlcli query: a photo in, the closest images of the index out."""

import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from dmlcli import options
from dmlcli.errors import CannotRun, CatalogError, ImageError, UsageError
from dmlcli.report import Answer, Hit, QueryReport, Skipped

if TYPE_CHECKING:
    from dmlcli.encoder import Encoder
    from dmlcli.indexes import Index


def query(
    images: options.Images = None,
    *,
    top_k: options.TopK = 10,
    min_score: options.MinScore = None,
    files_from: options.FilesFrom = None,
    null: options.Null = False,
    sheet: options.Sheet = None,
    index: options.IndexPath = None,
    model: options.ModelPath = None,
    workspace: options.WorkspacePath = None,
) -> QueryReport:
    """Search the index by photo; answers come one by one, in the order of the photos.

    Examples:

        dmlcli query img.jpg

        cat img.jpg | dmlcli query - --format jsonl | jq -r '.hits[0].product'

        find photos -name '*.jpg' -print0 | dmlcli query --files-from - --null -k 1
    """
    from dmlcli import indexes
    from dmlcli.encoder import Encoder
    from dmlcli.model import open_matching
    from dmlcli.workspace import need

    if not images and files_from is None:
        raise UsageError(
            "there is no query", hint="dmlcli query img.jpg, or --files-from FILE, or - for an image on stdin"
        )
    if null and files_from is None:
        raise UsageError("--null says how the paths of --files-from end", hint="--files-from FILE --null")
    if sheet is not None and not Path(sheet).absolute().parent.is_dir():
        raise CannotRun(
            f"there is no folder {Path(sheet).parent} for the picture", hint="make it first, or name another"
        )
    opened = indexes.open_index(index or need(workspace).index)
    encoder = Encoder(open_matching(model or opened.model_folder, opened.model))
    skipped: list[Skipped] = []
    several = files_from is not None or len(images or []) > 1 or any(Path(name).is_dir() for name in images or [])
    sources = _sources(images or [], files_from, null)
    answers = _answers(sources, encoder, opened, top_k, min_score, skipped if several else None)
    if sheet is not None:
        from dmlcli.sheet import drawing

        answers = drawing(sheet, answers)
    return QueryReport(str(opened.folder), answers, skipped)


def _sources(images: list[str], files_from: str | None, null: bool) -> Iterator[tuple[str, bytes | Path]]:
    """Each query by the name it goes by, and its bytes or its file."""
    from dmlcli.catalog import find_images

    for name in images:
        if name == "-":
            if sys.stdin.isatty():
                raise UsageError(
                    "an image is expected on stdin, which is the terminal", hint="dmlcli query - < img.jpg"
                )
            yield "-", sys.stdin.buffer.read()
        else:
            files = find_images(Path(name))
            first = next(files, None)
            if first is None:
                raise CatalogError(
                    f"no image was found in {name}", hint="query takes image files and folders of images"
                )
            yield from ((str(file), file) for file in chain([first], files))
    if files_from is not None:
        yield from ((name, Path(name)) for name in _lines(files_from, b"\0" if null else b"\n"))


def _lines(source: str, end: bytes) -> Iterator[str]:
    """Paths from a file or stdin, as they come."""
    try:
        with nullcontext(sys.stdin.buffer) if source == "-" else Path(source).open("rb") as stream:
            rest = b""
            while chunk := os.read(stream.fileno(), 1 << 16):  # what is there, not all there will be
                *whole, rest = (rest + chunk).split(end)
                yield from (_path(line, end) for line in whole if line.strip())
            if rest.strip():
                yield _path(rest, end)
    except OSError as error:
        hint = "--files-from takes a file, or - for stdin"
        raise CannotRun(f"cannot read {source}: {error.strerror}", hint=hint) from error


def _path(line: bytes, end: bytes) -> str:
    return os.fsdecode(line.removesuffix(b"\r") if end == b"\n" else line)


def _answers(
    sources: Iterator[tuple[str, bytes | Path]],
    encoder: "Encoder",
    index: "Index",
    top_k: int,
    min_score: float | None,
    skipped: list[Skipped] | None,
) -> Iterator[Answer]:
    """Answer one query after the other; a bad one is listed in `skipped`, or is an error where it is the only one."""
    for name, source in sources:
        try:
            data = source if isinstance(source, bytes) else _read(source)
            vector = encoder.embed(data)
        except ImageError as error:
            if skipped is None:
                raise ImageError(f"{'stdin' if name == '-' else name}: {error}", hint=error.hint) from error
            skipped.append(Skipped(name, str(error)))
            continue
        found = index.search(vector, top_k)[0]
        kept = [row for row in found if min_score is None or row.score >= min_score]
        hits = (Hit(rank, row.score, row.product, _from_here(row.image)) for rank, row in enumerate(kept, start=1))
        yield Answer(name, tuple(hits))


def _read(file: Path) -> bytes:
    from dmlcli.image import read_file

    try:
        return read_file(file)
    except ImageError as error:
        raise ImageError(
            str(error), hint=error.hint or "query takes image files, folders of images, or - for stdin"
        ) from error


def _from_here(image: Path) -> str:
    """The path as one would type it here."""
    try:
        return str(image.relative_to(Path.cwd()))
    except ValueError:
        return str(image)
