"""List files of data sets: any line ending, padded columns, header lines, byte-order marks."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.errors import CatalogError


def lines(file: Path, skip: int = 0) -> Iterator[str]:
    """Yield the lines that are not empty, without the first `skip`; raises CatalogError if the file does not exist."""
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            for number, line in enumerate(stream):
                if number >= skip and line.strip():
                    yield line.strip()
    except OSError as error:
        raise CatalogError(f"{file} cannot be read: {error.strerror}", hint="unpack the data set again") from error


def rows(file: Path, fields: int, separator: str | None = None, skip: int = 0) -> Iterator[list[str]]:
    """Yield the fields of each line.

    Args:
        file: a text file.
        fields: the number of fields; the last one may contain the separator.
        separator: None: one or more spaces.
        skip: the number of lines before the first record.

    Raises:
        CatalogError: a line has fewer fields.
    """
    for line in lines(file, skip):
        row = [cell.strip() for cell in line.split(separator, fields - 1)]
        if len(row) != fields:
            raise CatalogError(f"invalid line '{line}' in {file}: {len(row)} fields instead of {fields}")
        yield row


def named_rows(file: Path) -> Iterator[dict[str, str]]:
    """Yield the lines of a comma-separated file with a header, by column."""
    import csv

    for row in csv.DictReader(lines(file)):
        yield {name.strip(): (cell or "").strip() for name, cell in row.items() if name is not None}


def number(text: str, file: Path) -> int:
    """Return a whole number in a list file; raises CatalogError for anything else."""
    try:
        return int(text)
    except ValueError as error:
        raise CatalogError(f"invalid number '{text}' in {file}") from error
