"""--where in the words of Milvus: what is translated leaves the rows that SQLite leaves, and the rest is refused."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dmlcli.catalog import Item
from dmlcli.embeddings import Embeddings, FileState
from dmlcli.errors import UsageError
from dmlcli.indexes import filters, item_table
from dmlcli.indexes.milvus import address, push
from dmlcli.indexes.milvus.collection import Collection
from dmlcli.indexes.milvus.filters import Field, translate

TEXTS = ["mug", "bowl", "Mug", "it's", "größe", 'say "hi"', "50%_off", "back\\slash", "two\nlines", ""]
FIELDS = [
    Field("id", "id", "INTEGER", False),
    Field("product", "product", "TEXT", False),
    Field("price", "own_price", "REAL"),
    Field("stock", "own_stock", "INTEGER"),
    Field("two words", "own_two_words", "TEXT"),
]


def shop(count: int) -> Embeddings:
    """Items some of whose cells are empty."""
    rng = random.Random(0)
    rows = []
    for row in range(count):
        price = "" if rng.random() < 0.2 else f"{rng.randrange(-400, 4000) / 4}"
        stock = "" if rng.random() < 0.2 else str(rng.randrange(-5, 20))
        # an item without the cell at all is null, one with an empty text is not
        words = () if rng.random() < 0.2 else (("two words", rng.choice(TEXTS)),)
        columns = (("price", price), ("stock", stock), *words)
        rows.append(Item(f"{row}.png", f"product-{row % 40:02}", rng.choice(TEXTS), columns=columns))
    vectors = np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(Path("/shop"), rows, [FileState(1, 1, str(row)) for row in range(count)], vectors, "")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Collection]]:
    """The same items in SQLite and in a collection."""
    folder = tmp_path_factory.mktemp("both")
    embeddings = shop(200)
    item_table.write(folder / "items.sqlite", embeddings, np.arange(200))
    server, there = push.connect(address.parse(f"milvus:{folder}/f.db/items"), update=False)
    collection = push.push(server, there, embeddings, None).collection
    yield folder / "items.sqlite", collection
    server.close()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def comparison(rng: random.Random) -> str:
    """One of all that are translated."""
    column = rng.choice(["price", "stock", '"two words"', "category", "product", "id"])
    kind = rng.randrange(6)
    negated = rng.choice(["", "not "])
    if column in ("price", "stock", "id"):
        low, high = sorted(rng.choice(["-3", "2.5", "7", "12", "1e2", "0", "900.25", "-1e30"]) for _ in range(2))
        return [
            f"{column} {rng.choice(['<', '<=', '>', '>=', '=', '<>', '!=', '=='])} {low}",
            f"{low} {rng.choice(['<', '<=', '>', '>=', '=', '<>'])} {column}",
            f"{column} {negated}between {low} and {high}",
            f"{column} {negated}in ({low}, {high}, -1)",
            f"{column} is {negated}null",
            f"{column} is {negated}{low}",
        ][kind]
    low, high = sorted(quoted(rng.choice(TEXTS)) for _ in range(2))
    return [
        f"{column} {rng.choice(['<', '<=', '>', '>=', '=', '<>'])} {low}",
        f"{column} {negated}in ({low}, {high})",
        f"{column} {negated}between {low} and {high}",
        f"{column} {negated}glob {rng.choice([quoted('*u*'), quoted('m*'), quoted('*%_*'), quoted('*-0*'), low])}",
        f"{column} {negated}like {rng.choice([quoted('%-1%'), quoted('%ö%'), quoted('MUG'), quoted('%u%')])}",
        f"{column} {rng.choice(['isnull', 'notnull', 'not null', 'is not ' + low])}",
    ][kind]


def expression(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return comparison(rng)
    kind = rng.randrange(4)
    if kind == 0:
        return f"not {expression(rng, depth - 1)}"
    one, other = expression(rng, depth - 1), expression(rng, depth - 1)
    return [f"({one}) or {other}", f"{one} and {other}", f"not ({one} or not ({other}))"][kind - 1]


def test_what_is_translated_leaves_the_same_rows(both: tuple[Path, Collection]) -> None:
    file, collection = both
    rng = random.Random(1)
    left = 0
    for _ in range(60):
        asked = expression(rng, 3)
        table = sqlite3.connect(file)
        expected = filters.matching(table, asked).tolist()
        table.close()
        among = collection.where(asked)
        found = sorted(row["id"] for row in collection.server.some(among.text, []))
        assert (found, len(among)) == (expected, len(expected)), (asked, among.text)
        left += len(expected)
    assert 1000 < left < 60 * 200 - 1000  # neither nothing nor everything


@pytest.mark.parametrize(
    ("asked", "report"),
    [
        ("product like '%porcelain%'", "glob '*porcelain*'"),
        ("product like '5_'", "single sign"),
        ("product glob 'm?g'", "single sign"),
        ("price = '20'", "numbers with a text"),
        ("product = 20", "text with a number"),
        ("price like '2%'", "pattern"),
        ("price + 1 > 2", "say 'price +'"),
        ("price > stock", "anything but a value"),
        ("case when price > 1 then 1 else 0 end", "begins with a column"),
        ("product = 'a' collate nocase", "collate"),
        ("price", "'price'"),
        ("price = null", "null"),
        ("price is true", "is true"),
        ("price < 1 < 2", "'<'"),
        ("(price) < 2", "'price )'"),
        ("1 < 2", "column"),
        ("product like 'a' escape 'b'", "escape"),
    ],
)
def test_what_means_something_else_there_is_refused(asked: str, report: str) -> None:
    with pytest.raises(UsageError, match="Milvus cannot") as raised:
        translate(asked, FIELDS)
    assert report in f"{raised.value} {raised.value.hint}" and raised.value.hint


@pytest.mark.parametrize("asked", ["price <", "and", "price in (1", "not", "price between 1", "price is", "(", ")"])
def test_half_an_expression_is_refused(asked: str) -> None:
    with pytest.raises(UsageError) as raised:
        translate(asked, FIELDS)
    assert raised.value.hint


def test_what_no_filter_may_do_is_refused_as_in_a_folder() -> None:
    with pytest.raises(UsageError, match="functions are not run"):
        translate("length(product) > 2", FIELDS)
    with pytest.raises(UsageError, match="unknown column color"):
        translate("color = 'red'", FIELDS)


def test_a_fraction_of_a_whole_number_and_numbers_beyond_64_bits() -> None:
    assert translate("stock < 2.5", FIELDS) == "(own_stock is not null and own_stock <= 2)"
    assert translate("stock >= -2.5", FIELDS) == "(own_stock is not null and own_stock > -3)"
    assert translate("stock = 2.5", FIELDS) == "id < 0"
    assert translate("stock < 1e30", FIELDS) == "own_stock is not null"
    assert translate(f"stock < {'9' * 400}", FIELDS) == "own_stock is not null"
