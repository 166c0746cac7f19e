"""Number columns: which columns are numbers, and how their cells are spelled."""

from pathlib import Path

import pytest

from dmlcli import progress
from dmlcli.catalog import numbers
from dmlcli.catalog.table_data import Table
from tests.catalog.test_dialects import Messages


def normalized(separator: str, **columns: list[str]) -> dict[str, list[str]]:
    count = len(next(iter(columns.values())))
    table = Table(Path("t.csv"), {name: list(cells) for name, cells in columns.items()}, range(2, count + 2))
    table.separator = separator
    numbers.normalize(table, list(columns))
    return table.columns


@pytest.mark.parametrize(
    ("separator", "cells", "expected"),
    [
        (";", ["19,00", "7,5", "1.299,00", ""], ["19.00", "7.5", "1299.00", ""]),
        (",", ["19,00", "7,50", "150,00"], ["19.00", "7.50", "150.00"]),
        (",", ["1,299.00", "7.50", "12"], ["1299.00", "7.50", "12"]),
        (",", ["1,299", "12", "2,500,000"], ["1299", "12", "2500000"]),
        (";", ["1,299", "12"], ["1.299", "12"]),
        ("\t", ["1 299,50", "7,00"], ["1299.50", "7.00"]),
        ("\t", ["1'299.50", "7"], ["1299.50", "7"]),
        (",", ["-3", "+4", "\u22125", ".5", "6."], ["-3", "4", "-5", "0.5", "6"]),
        (",", ["1e-05", "0.5"], ["1e-05", "0.5"]),
        (",", ["7.00", "n/a", "8", "-", "NaN", "NULL"], ["7.00", "", "8", "", "", ""]),
        (",", ["007", "7", "19"], ["007", "7", "19"]),
        (",", ["12345678901234567", "7"], ["12345678901234567", "7"]),
        (",", ["n/a", "-"], ["n/a", "-"]),
        (",", ["7.00", "call us", "8.00"], ["7.00", "call us", "8.00"]),
        (",", ["1.2.3", "1.2.4"], ["1.2.3", "1.2.4"]),
    ],
)
def test_a_column_is_one_of_numbers_where_all_cells_are(separator: str, cells: list[str], expected: list[str]) -> None:
    assert normalized(separator, price=cells)["price"] == expected


@pytest.mark.parametrize(
    ("separator", "other", "cells", "expected", "warned"),
    [
        ("\t", "19.50", ["1,299"], ["1299"], False),
        ("\t", "19,50", ["1,299"], ["1.299"], False),
        ("\t", "x", ["1,299"], ["1,299"], True),
        (";", "x", ["1,299"], ["1.299"], False),  # tables with semicolons have decimal commas
        (",", "x", ["1,299"], ["1299"], False),
        (";", "19,50", ["1.299"], ["1.299"], True),
        (";", "19.50", ["1.299"], ["1.299"], False),
    ],
)
def test_other_columns_decide_what_can_be_read_both_ways(
    separator: str, other: str, cells: list[str], expected: list[str], warned: bool
) -> None:
    said = Messages()
    progress.listen(said)
    assert normalized(separator, stock=cells, price=[other])["stock"] == expected
    assert any("column stock" in message and "line 2 of t.csv" in message for message in said.all) == warned


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["7"] * 9 + ["n/a"], "'n/a' in line 11 of t.csv was read as an empty cell"),
        (["7"] * 9 + ["call us"], "read as text: 'call us' in line 11 of t.csv is not a number"),
        (["7", "8", "mug", "pot", "bag"], ""),
    ],
)
def test_the_odd_cell_is_noted_by_line(cells: list[str], message: str) -> None:
    said = Messages()
    progress.listen(said)
    normalized(",", price=cells)
    assert bool(said.all) == bool(message) and all(message in one for one in said.all)


def test_article_numbers_with_a_check_digit_are_codes() -> None:
    assert numbers.is_code(["4006381333931", "96385074", "036000291452"])
    assert not numbers.is_code(["4006381333932"]) and not numbers.is_code(["1732624951000", "1732624952000"])
