"""Tables of images: the reader for each suffix, and lists of `path label`."""

from collections.abc import Callable
from pathlib import Path

from dmlcli.catalog.catalog import Catalog
from dmlcli.catalog.columns import Columns, check_encoding, items_of, usual_column
from dmlcli.catalog.delimited import read_delimited
from dmlcli.catalog.file_names import is_called_image
from dmlcli.catalog.json_tables import read_json
from dmlcli.catalog.parquet import read_parquet
from dmlcli.catalog.table_data import Table
from dmlcli.catalog.text_files import Text, read_text
from dmlcli.errors import CatalogError
from dmlcli.image import is_there

_LISTS = (".txt", ".lst", ".list")
_TABS = (".tsv", ".tab")
_JSON = (".json", ".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")


def read_table(file: Path, columns: Columns, root: Path) -> Catalog:
    """Read a table of images with the reader for its suffix; unknown suffixes are read as CSV.

    Args:
        file: the table.
        columns: names of its columns where they are not the usual ones.
        root: what its paths are relative to.

    Raises:
        CatalogError: the table cannot be read or understood; the message names the line.
        UsageError: a named column does not exist.
    """
    suffix = file.suffix.lower()
    if suffix in _PARQUET:
        table = read_parquet(file)
    else:
        text = read_text(file)
        table = _read(file, text, suffix, columns, root)
        if text.is_mixed:
            check_encoding(table, columns)
    items, skipped = items_of(table, columns, root)
    return Catalog(root.resolve(), items, skipped)


def _read(file: Path, text: Text, suffix: str, columns: Columns, root: Path) -> Table:
    if suffix in _JSON:
        return read_json(file, text, columns.image)

    def find_image(names: list[str]) -> str | None:
        if columns.image is not None:
            return columns.image if columns.image in names else None
        return usual_column("image", names)

    if suffix in _LISTS and not _has_header(text, find_image):
        return _read_list(file, text, root)
    return read_delimited(file, text, find_image, "\t" if suffix in _TABS else ",;\t|")


def _has_header(text: Text, find_image: Callable[[list[str]], str | None]) -> bool:
    """Return whether a list is a table with named columns after all."""
    first = text.content.partition("\n")[0]
    return any(find_image([name.strip(' "\r') for name in first.split(mark)]) is not None for mark in ",;\t|")


def _read_list(file: Path, text: Text, root: Path) -> Table:
    """Return lines of `path label`, separated by tab, comma or space, or lines of only paths."""
    numbered = [(number, line.strip()) for number, line in enumerate(text.content.split("\n"), start=1) if line.strip()]
    if not numbered:
        raise CatalogError(f"{file} is empty", hint="a list has one line per image: `path label`, or only the path")
    numbers, lines = [number for number, _ in numbered], [line for _, line in numbered]
    if is_there(root / lines[0]) or all(map(is_called_image, lines)):
        return Table(file, {"image": lines}, numbers, is_legacy=text.is_legacy)
    mark = next((mark for mark in "\t," if mark in lines[0]), None)
    parts = [line.rsplit(mark, 1) for line in lines]
    if any(len(part) != 2 for part in parts):
        if all(len(part) == 1 for part in parts):
            return Table(file, {"image": lines}, numbers, is_legacy=text.is_legacy)
        number, line = next(entry for entry, part in zip(numbered, parts, strict=True) if len(part) != 2)
        raise CatalogError(
            f"line {number} of {file} is not `path label` like the other lines: {line}",
            hint="separate path and label by a tab in each line",
        )
    columns = {"image": [path.strip() for path, _ in parts], "product": [label for _, label in parts]}
    return Table(file, columns, numbers, is_legacy=text.is_legacy)
