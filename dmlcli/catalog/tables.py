"""Tables of images as files: CSV, TSV, JSON Lines, Parquet, and bare lines of `path label`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dmlcli.catalog.columns import Columns, Table, items_of, text_of, usual_column
from dmlcli.catalog.items import Catalog
from dmlcli.errors import CannotRun, CatalogError
from dmlcli.report.skipped import Skipped

_LISTS = (".txt", ".lst", ".list")
_TABS = (".tsv", ".tab")
_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")


def read_table(file: Path, columns: Columns, root: Path) -> Catalog:
    """Read a table of images; what kind it is follows from its suffix, anything unknown is taken as CSV."""
    suffix = file.suffix.lower()
    if suffix in _PARQUET:
        table = _read_parquet(file)
    elif suffix in _JSON_LINES:
        table = _read_json_lines(file, columns.image)
    elif suffix in _LISTS and not _has_header(file, columns):
        table = _read_list(file, root)
    else:
        table = _read_csv(file)
    items, skipped = items_of(table, columns, file)
    return Catalog(root.resolve(), items, [Skipped(str(root / path), reason) for path, reason in skipped])


def _read_csv(file: Path) -> Table:
    import pandas as pd

    encoding = _encoding(file)
    try:
        table = pd.read_csv(
            file,
            sep=_separator(file, encoding),
            dtype=object,  # every cell as it was typed: 007 is a code
            keep_default_na=False,
            index_col=False,
            encoding=encoding,
            encoding_errors="surrogateescape",  # names that are not UTF-8 stay the names of their files
        )
    except (ValueError, OSError) as error:
        raise CatalogError(f"{file} cannot be read as a table: {str(error).splitlines()[0]}") from error
    return {str(name): column.fillna("").tolist() for name, column in table.items()}


def _encoding(file: Path) -> str:
    """UTF-8, or UTF-16 as spreadsheets write it; raises CatalogError for what is no text."""
    with file.open("rb") as stream:
        start = stream.read(4096)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start:
        raise CatalogError(
            f"{file} is no text", hint="a catalogue is a folder, or a CSV, TSV, JSON Lines or Parquet table"
        )
    return "utf-8-sig"


def _separator(file: Path, encoding: str) -> str:
    """The mark between the columns: whichever of comma, semicolon and tab the first line has most of."""
    header = _first_line(file, encoding)
    return "\t" if file.suffix.lower() in _TABS else max(",;\t", key=header.count)


def _first_line(file: Path, encoding: str) -> str:
    with file.open(encoding=encoding, errors="surrogateescape") as stream:
        return stream.readline()


def _has_header(file: Path, columns: Columns) -> bool:
    """Whether a .txt file is a table with named columns after all."""
    encoding = _encoding(file)
    names = [name.strip().strip('"') for name in _first_line(file, encoding).split(_separator(file, encoding))]
    return (columns.image or usual_column("image", names)) in names


def _read_list(file: Path, root: Path) -> Table:
    """Lines of `path label`, apart by tab, comma or space; of bare paths where the first line is one."""
    with file.open(encoding=_encoding(file), errors="surrogateescape") as stream:
        lines = [line.strip() for line in stream if line.strip()]
    if not lines:
        raise CatalogError(f"{file} is empty", hint="it should hold one `path label` a line")
    if (root / lines[0]).is_file():
        return {"image": lines}
    mark = next((mark for mark in "\t," if mark in lines[0]), None)
    parts = [line.rsplit(mark, 1) for line in lines]
    for number, part in enumerate(parts, start=1):
        if len(part) != 2:
            raise CatalogError(
                f"line {number} of {file} is not `path label`, and there is no file {root / part[0]}",
                hint="--root DIR says what the paths are relative to",
            )
    return {"image": [path for path, _ in parts], "product": [label for _, label in parts]}


def _read_json_lines(file: Path, image_column: str | None) -> Table:
    """One object a line; several photos of a product may stand in a list."""
    columns: dict[str, list[str]] = {}
    image_of: dict[tuple[str, ...], str] = {}  # which name holds the image, by the names of a line
    known: dict[str, str] = {}  # equal cells become one object
    rows = 0
    for number, row in _json_objects(file):
        names = tuple(row)
        if names not in image_of:
            image_of[names] = image_column or usual_column("image", names) or ""
        image = image_of[names]
        found = row.get(image, "")
        for photo in found if isinstance(found, list) else (found,):
            if not isinstance(photo, str):
                raise CatalogError(f"line {number} of {file}: the image {json.dumps(photo)} is no path")
            if image:
                row[image] = photo
            for name, value in row.items():
                text = value if isinstance(value, str) else text_of(value)
                column = columns.setdefault(name, [])
                if len(column) < rows:
                    column += [""] * (rows - len(column))
                column.append(text if name == image else known.setdefault(text, text))
            rows += 1
    return {name: column + [""] * (rows - len(column)) for name, column in columns.items()}


def _json_objects(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with file.open(encoding=_encoding(file), errors="surrogateescape") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CatalogError(f"line {number} of {file} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise CatalogError(f"line {number} of {file} is no JSON object", hint='{"image": "a.jpg", …} a line')
            yield number, row


def _read_parquet(file: Path) -> Table:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CannotRun(
            f"reading {file} needs the library pyarrow", hint="pip install 'dmlcli[parquet]', or save it as CSV"
        ) from error
    try:
        table = parquet.read_table(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise CatalogError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    known: dict[str, str] = {}  # equal cells become one object
    texts = ((name, map(text_of, table.column(name).to_pylist())) for name in table.column_names)
    return {name: [known.setdefault(text, text) for text in column] for name, column in texts}
