"""--columns: names with commas between them, and a misspelled one is reported with the nearest."""

import pytest

from dmlcli.errors import UsageError
from dmlcli.report.query import Columns, Hit
from dmlcli.search.shown_columns import chosen

KNOWN = {"category": 0, "price": 2, "Price": 0, "width, cm": 0, "Title": 0, 'say "hi"': 0}


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        (["price"], ["price"]),
        (["Title,price"], ["Title", "price"]),
        ([" title , category,title"], ["Title", "category"]),
        (["price", "Title"], ["price", "Title"]),
        (["width, cm"], ["width, cm"]),
        (['"width, cm",Price'], ["width, cm", "Price"]),
        (['say "hi"'], ['say "hi"']),
    ],
)
def test_columns_are_found_by_name_in_the_order_of_the_user(asked: list[str], names: list[str]) -> None:
    found = chosen(asked, KNOWN)
    assert list(found.decimals.items()) == [(name, KNOWN[name]) for name in names] and found.chosen


@pytest.mark.parametrize(
    ("asked", "said"),
    [("prise", "unknown column prise"), ("PRICE", "unknown column PRICE"), (",", "no column"), ("a\nb", "invalid")],
)
def test_what_is_no_column_is_a_usage_error(asked: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        chosen([asked], KNOWN)
    assert error.value.hint


def test_numbers_have_the_decimals_of_their_column() -> None:
    hit = Hit(1, 0.5, "mug", "a.jpg", "cups", columns={"price": 12.5, "weight": 0.1, "stock": 3, "note": None})
    columns = Columns({"category": 0, "price": 2, "weight": 0, "stock": 0, "note": 0, "missing": 0})
    assert columns.texts(hit) == ["cups", "12.50", "0.1", "3", "", ""]


def test_headings_differ_from_those_of_the_output() -> None:
    columns = Columns({"score": 0, "title": 0, "title_": 0})
    assert columns.headings(["score", "title"]) == ["score_", "title_", "title__"]
