"""The columns of the catalog that a query shows beside its hits (`--columns`)."""

from collections.abc import Mapping, Sequence

from dmlcli.errors import UsageError, nearest
from dmlcli.report.query import Columns

_ALWAYS = ("rank", "score", "product", "image")  # shown beside the columns of the catalog


def chosen(given: Sequence[str], known: Mapping[str, int]) -> Columns:
    """Return the columns that a user names, in this order.

    Args:
        given: names, or several in one text with commas between them; a name with a comma is put in double quotes.
        known: `category` and the catalog's own columns, with their decimals as `ItemTable.columns` returns them.

    Raises:
        UsageError: a column does not exist; the hint has the nearest one.
    """
    names = [name for text in given for name in _names(text, known)]
    if not names:
        raise UsageError("invalid --columns: no column is given", hint=f"choose from {', '.join(known)}")
    return Columns({name: known[name] for name in names}, chosen=True)


def _names(text: str, known: Mapping[str, int]) -> list[str]:
    """Return the columns that one value of --columns names."""
    if text in known:
        return [text]
    import csv

    try:
        parts = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise UsageError(f"invalid --columns {text}: {error}", hint="separate names by commas") from error
    return [_known(part.strip(), known) for part in parts if part.strip()]


def _known(name: str, known: Mapping[str, int]) -> str:
    """Return the column of this name; case is ignored where it does not decide, as in --where."""
    if name in known:
        return name
    alike = [column for column in known if column.lower() == name.lower()]
    if len(alike) == 1:
        return alike[0]
    if name in _ALWAYS:
        raise UsageError(f"--columns {name}: it is always shown", hint="remove it")
    raise UsageError(f"unknown column {name} in --columns", hint=nearest(name, list(known)))
