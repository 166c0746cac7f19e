"""The common result of table readers: columns of text with the line of each row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dmlcli.errors import CatalogError
from dmlcli.report.skipped import Skipped


@dataclass
class Table:
    """The cells of a table by column. All columns have the same length; an empty cell is ""."""

    file: Path
    columns: dict[str, list[str]]
    lines: Sequence[int]  # of each row: its number in the file
    unit: str = "line"  # what the numbers count
    skipped: list[Skipped] = field(default_factory=list)  # rows that could not be read
    separator: str = ""  # between cells, where there is one
    is_legacy: bool = False  # decoded as Windows-1252

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> str:
        """Return where a row is, for a message."""
        return f"{self.unit} {self.lines[row]} of {self.file}"

    def skip(self, line: int, reason: str) -> None:
        """List the row at this line as skipped."""
        self.skipped.append(Skipped(f"{self.file.absolute()}:{line}", reason))

    def take(self, rows: Sequence[int]) -> None:
        """Keep these rows only, in this order; a row may be repeated."""
        self.columns = {name: [cells[row] for row in rows] for name, cells in self.columns.items()}
        self.lines = [self.lines[row] for row in rows]


def distinct_names(names: Sequence[str], file: Path, roles: Sequence[str] = ()) -> list[str]:
    """Return names for the columns of a header: unnamed ones by their number, repeated ones numbered.

    Args:
        names: the cells of the header.
        file: the table, for messages.
        roles: names, in lower case, that must not occur twice.

    Raises:
        CatalogError: one of `roles` occurs twice.
    """
    distinct: list[str] = []
    for number, name in enumerate(names, start=1):
        new = name or f"column {number}"
        if new in distinct:
            if new.lower() in roles:
                first = distinct.index(new) + 1
                raise CatalogError(
                    f"duplicate column '{new}' in {file}: columns {first} and {number}", hint="rename one of them"
                )
            copy = 2
            while f"{new} {copy}" in distinct or f"{new} {copy}" in names:
                copy += 1
            new = f"{new} {copy}"
        distinct.append(new)
    return distinct
