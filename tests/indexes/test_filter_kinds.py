"""--where never compares text with numbers: such an expression is refused, with the column and a value."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dmlcli.catalog import Item
from dmlcli.embeddings import Embeddings, FileState
from dmlcli.errors import UsageError
from dmlcli.indexes import filters, item_table

ROWS = [("7.00", "007", "4006381333931", "9"), ("150.00", "12", "4006381333948", "call us"), ("", "3", "", "11")]


@pytest.fixture
def table(tmp_path: Path) -> sqlite3.Connection:
    """An item table with a number column, two of codes, and one of numbers and a text."""
    rows = [
        Item(f"{row}.jpg", f"470{row}", columns=tuple(zip(("price", "sku", "ean", "stock"), cells, strict=True)))
        for row, cells in enumerate(ROWS)
    ]
    states = [FileState(1, 1, str(row)) for row in range(3)]
    made = Embeddings(Path("/shop"), rows, states, np.eye(3, dtype=np.float32), "")
    item_table.write(tmp_path / "items.sqlite", made, np.arange(3))
    return item_table.connect(tmp_path / "items.sqlite")


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("stock < 20", "column stock has text, such as 'call us' of 1.jpg, and 20 is a number"),
        ("20 > stock", "column stock has text"),
        ("stock = 9", "column stock has text"),
        ("stock in (9, 11)", "column stock has text"),
        ("stock between 9 and 11", "column stock has text"),
        ("stock is 9", "column stock has text"),
        ("not (price > 3 and stock < 20)", "column stock has text"),
        ("stock < price", "column stock has text"),
        ("case stock when 9 then 1 else 0 end", "column stock has text"),
        ("stock is true", "column stock has text"),
        ("stock * 2 < 40", "* needs numbers, and stock is text, such as 'call us' of 1.jpg"),
        ("-stock < 3", "- needs numbers"),
        ("stock", "stock is text and not a condition"),
        ("price > 3 and stock", "stock is text and not a condition"),
        ("sku = 7", "column sku has text, such as '007' of 0.jpg"),
        ("ean = 4006381333931", "column ean has text"),
        ("product > 4700", "column product has text, such as '4700' of 0.jpg"),
        ("price < 'cheap'", "column price has numbers, and 'cheap' is not one"),
        ("price * 2 = '14'", "'14' is text, and price * 2 is a number"),
        ("'a' < 3", "'a' is text, and 3 is a number"),
        ("(price, stock) = (7, 9)", "compare one at a time"),
        ("case when price < 9 then 'x' else 1 end = 1", "text in one case and a number in another"),
        ("price < 20 stock", "syntax error at stock"),
    ],
)
def test_text_and_numbers_are_not_mixed(table: sqlite3.Connection, expression: str, message: str) -> None:
    with closing(table), pytest.raises(UsageError) as caught:
        filters.matching(table, expression)
    assert message in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("price < 20", [0]),
        ("price = '7'", [0]),
        ("price in (7, 150)", [0, 1]),
        ("price is null", [2]),
        ("sku = '007'", [0]),
        ("ean = '4006381333931'", [0]),
        ("stock = '9' or stock like 'call%'", [0, 1]),
        ("price / 2 + 1 < 10 and product || 'x' = '4700x'", [0]),
        ("case when price < 20 then 'a' else 'b' end = 'b'", [1, 2]),
        ("price between 1 and 10 + 3", [0]),
        ("(price < 20) = true", [0]),
        ("id in (1, 2) and not price < 20", [1]),
        ("product = '4700' collate nocase", [0]),
        ("category is null or category = ''", [0, 1, 2]),
    ],
)
def test_like_is_compared_with_like(table: sqlite3.Connection, expression: str, found: list[int]) -> None:
    with closing(table):
        assert filters.matching(table, expression).tolist() == found


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("category = 'mug'", "category is empty for all images", "--category-column"),
        ("size < 3", "unknown column size", "id, path, product, category"),
        ("skuu = '007'", "unknown column skuu", "did you mean sku?"),
    ],
)
def test_a_column_that_is_not_there_or_is_empty(
    table: sqlite3.Connection, expression: str, message: str, hint: str
) -> None:
    with closing(table), pytest.raises(UsageError) as caught:
        filters.matching(table, expression)
    assert message in str(caught.value) and hint in caught.value.hint


def test_an_index_of_a_folder_has_no_other_columns() -> None:
    with pytest.raises(UsageError, match="unknown column price") as caught:
        filters.check("price < 20", [*item_table.FIXED])
    assert "others come from a table of images" in caught.value.hint and "did you mean" not in caught.value.hint
