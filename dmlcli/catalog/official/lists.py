"""List files as the authors of data sets write them: any line end, padded columns, header lines, byte order marks."""

from collections.abc import Iterator
from pathlib import Path

from dmlcli.errors import CatalogError


def lines(file: Path, skip: int = 0) -> Iterator[str]:
    """The lines that are not empty, without the first `skip`; raises CatalogError where there is no such file."""
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            for number, line in enumerate(stream):
                if number >= skip and line.strip():
                    yield line.strip()
    except OSError as error:
        raise CatalogError(f"{file} cannot be read: {error.strerror}", hint="unpack the data set again") from error


def rows(file: Path, fields: int, separator: str | None = None, skip: int = 0) -> Iterator[list[str]]:
    """The fields of each line, separated by spaces of any number or by `separator`; the last may hold spaces.

    Errors: CatalogError, naming the line that has fewer.
    """
    for line in lines(file, skip):
        row = [cell.strip() for cell in line.split(separator, fields - 1)]
        if len(row) != fields:
            raise CatalogError(f"{file} holds the line '{line}', which has {len(row)} fields of {fields}")
        yield row


def named_rows(file: Path) -> Iterator[dict[str, str]]:
    """The lines of a comma-separated file with a header, by column."""
    import csv

    for row in csv.DictReader(lines(file)):
        yield {name.strip(): (cell or "").strip() for name, cell in row.items() if name is not None}


def number(text: str, file: Path) -> int:
    """A whole number in a list file; raises CatalogError for anything else."""
    try:
        return int(text)
    except ValueError as error:
        raise CatalogError(f"{file} holds '{text}' where a number is expected") from error
