"""--where: an SQL expression over the columns of the item table, and nothing else that SQL can do.

Two walls. The expression is read word by word first, so that whatever is not a comparison is refused in plain words;
then SQLite itself runs it under an authorizer that permits reading the item table and nothing more.
"""

import re
import sqlite3
import time

import numpy as np
from numpy.typing import NDArray

from dmlcli.errors import UsageError
from dmlcli.indexes.filter_kinds import check_kinds
from dmlcli.indexes.filter_tokens import HINT, NOTHING, Token, refused, tokens
from dmlcli.indexes.item_table import FIXED, name

LONGEST = 20.0  # seconds that one filter may take
_STEPS = 1000  # of SQLite's machine between two looks at the clock
_PATTERN = 1000  # bytes of a pattern: one match is one step, and takes pattern times text
_CLOSE = 0.6  # how alike a column must be to be suggested for another, of 1
_EMPTY = {
    "product": "put the images of each product into a folder, or name the column with --product-column",
    "category": "put the folders of products into folders of categories, or name the column with --category-column",
}
_CLAUSES = frozenset(
    [
        "and",
        "or",
        "not",
        "is",
        "null",
        "in",
        "between",
        "like",
        "glob",
        "escape",
        "isnull",
        "notnull",
        "true",
        "false",
        "collate",
        "nocase",
    ]
)
_CASES = frozenset(["case", "when", "then", "else", "end"])
_KEYWORDS = _CLAUSES | _CASES
# a bracket after one of these opens a group; after any other word it calls a function
_BEFORE_GROUP = _KEYWORDS - {"null", "true", "false", "isnull", "notnull", "nocase", "collate", "end"}
_MATCHES = ("like", "glob")  # operators, though SQLite knows them as functions too


def matching(table: sqlite3.Connection, expression: str) -> NDArray[np.int64]:
    """The ids of the items for which the expression is true, ascending.

    Args:
        table: a connection of its own to the item table; it can do nothing else from here on.

    Raises:
        UsageError: a word is not understood (the hint names the nearest column), a column of text is compared with a
            number, or nothing is found and a column is empty in all rows.
    """
    kinds = {row[1]: row[2].partition("(")[0] for row in table.execute("PRAGMA table_info(items)")}
    check(expression, list(kinds))
    check_kinds(expression, kinds, lambda column: _sample(table, column))
    end = time.monotonic() + LONGEST
    table.set_authorizer(_permit_reading)
    table.set_progress_handler(lambda: int(time.monotonic() > end), _STEPS)
    table.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _PATTERN)
    try:
        rows = table.execute(f"SELECT id FROM items WHERE ({expression}) ORDER BY id")
        found = np.fromiter((row[0] for row in rows), dtype=np.int64)
    except (sqlite3.OperationalError, sqlite3.DataError) as error:
        slow = str(error) == "interrupted"
        reason = f"it took longer than {LONGEST:.0f} s" if slow else str(error)
        raise UsageError(f"--where {expression}: {reason}", hint=HINT) from error
    except sqlite3.DatabaseError as error:
        if "authoriz" not in str(error) and "prohibited" not in str(error):
            raise  # a damaged table is not the fault of the expression
        raise UsageError(f"--where {expression}: it may only compare columns", hint=HINT) from error
    if not len(found):
        _check_filled(table, expression, kinds)
    return found


def check(expression: str, columns: list[str]) -> None:
    """Raise UsageError where the expression is anything but comparisons of these columns with values."""
    if any("\ud800" <= sign <= "\udfff" for sign in expression):
        raise refused(expression, "it is not UTF-8")
    words = list(tokens(expression))
    if not words:
        raise refused(expression, "it is empty")
    depth = 0
    for before, token, after in zip([NOTHING, *words], words, [*words[1:], NOTHING], strict=False):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0:
            raise refused(expression, "there is a ) without its (")
        if token.kind not in ("word", "quoted"):
            continue
        if after.text == "(" and token.text.lower() not in _BEFORE_GROUP:
            raise refused(expression, f"{token.text}(…) calls a function, and functions are not run")
        if token.text.lower() in _MATCHES and before.kind in ("", "sign") and before.text != ")":
            raise refused(expression, f"{token.text} stands between what is matched and a pattern")
        _check_name(expression, token, columns)
    if depth:
        raise refused(expression, "there is a ( without its )")


def _check_name(expression: str, token: Token, columns: list[str]) -> None:
    if token.kind == "word" and token.text.lower() in _KEYWORDS:
        return
    name = token.text if token.kind == "word" else token.text[1:-1].replace('""', '"')
    if name.lower() in {column.lower() for column in columns}:
        return
    message = f"--where {expression}: unknown column {token.text}"
    hint = _columns_hint(name, columns)
    if token.kind == "quoted":
        hint += f"; text stands in single quotes: '{name}'"
    raise UsageError(message, hint=hint)


def _columns_hint(name: str, columns: list[str]) -> str:
    """The columns that are most like this name, or all of them."""
    from difflib import get_close_matches

    quoted = [name if name.isidentifier() and name.lower() not in _KEYWORDS else f'"{name}"' for name in columns]
    close = get_close_matches(name, quoted, n=3, cutoff=_CLOSE)
    if close:
        return f"did you mean {' or '.join(close)}?"
    own = "" if set(columns) - set(FIXED) else "; others come from a table of images, and this index has none"
    return f"the columns are {', '.join(quoted)}{own}"


def _sample(table: sqlite3.Connection, column: str) -> str:
    """A value of a text column, and the image that has it: one that is not a number where there is any."""
    quoted = '"' + column.replace('"', '""') + '"'
    rows = table.execute(f"SELECT {quoted}, path FROM items WHERE {quoted} <> '' ORDER BY id")
    first = None
    for value, path in rows:
        first = first or (value, path)
        if not _is_number(name(value)):
            first = value, path
            break
    return f"such as '{name(first[0])}' of {name(first[1])}" if first else "and is empty in all rows"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _check_filled(table: sqlite3.Connection, expression: str, kinds: dict[str, str]) -> None:
    """Raise UsageError where an expression that finds nothing names a column that is empty in all rows."""
    named = {token.text.strip('"').lower() for token in tokens(expression) if token.kind in ("word", "quoted")}
    for column in kinds:
        if column.lower() not in named:
            continue
        quoted = '"' + column.replace('"', '""') + '"'
        if table.execute(f"SELECT 1 FROM items WHERE {quoted} <> '' LIMIT 1").fetchone() is None:
            raise refused(
                expression,
                f"the column {column} is empty for all images of this index",
                hint=_EMPTY.get(column, "fill the column of the table, and run dmlcli index again"),
            )


def _permit_reading(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """SQLite's authorizer: rows of the item table, and the functions behind LIKE and GLOB."""
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first == "items":
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second in _MATCHES:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
