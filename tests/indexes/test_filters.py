"""--where: equal to pandas on a thousand random expressions, and nothing but comparisons gets through."""

import operator
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dmlcli.errors import UsageError
from dmlcli.indexes import filter_kinds, filters

Mask = Callable[[pd.DataFrame], Any]  # to a nullable boolean series
_CATEGORIES = ["mug", "bowl", "lamp", "Mug", "it's", "größe", ""]


def table_of(rows: pd.DataFrame, file: Path) -> sqlite3.Connection:
    """An item table as an index has it."""
    with closing(sqlite3.connect(file)) as made:
        made.execute(
            "CREATE TABLE items (id INTEGER PRIMARY KEY, path TEXT, product TEXT, category TEXT, price REAL,"
            ' stock INTEGER, "two words" TEXT, "select" INTEGER)'
        )
        columns = [[None if pd.isna(cell) else cell for cell in rows[name].tolist()] for name in rows]
        cells = zip(*columns, strict=True)
        made.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", cells)
        made.commit()
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Three hundred items, some of whose cells are empty."""
    rng = random.Random(0)

    def gaps(values: list[Any]) -> list[Any]:
        return [None if rng.random() < 0.15 else value for value in values]

    count = range(300)
    return pd.DataFrame(
        {
            "id": pd.array([7 * row for row in count], dtype="Int64"),
            "path": pd.array([f"{row}.jpg" for row in count], dtype="string"),
            "product": pd.array([f"product-{row % 40:02}" for row in count], dtype="string"),
            "category": pd.array([rng.choice(_CATEGORIES) for _ in count], dtype="string"),
            "price": pd.array(gaps([rng.randrange(0, 4000) / 4 for _ in count]), dtype="Float64"),
            "stock": pd.array(gaps([rng.randrange(-5, 20) for _ in count]), dtype="Int64"),
            "two words": pd.array(gaps([rng.choice("abc") for _ in count]), dtype="string"),
            "select": pd.array([rng.randrange(3) for _ in count], dtype="Int64"),
        }
    )


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def leaf(rng: random.Random) -> tuple[str, Mask]:
    """A comparison as SQL and as pandas says it; both know three truth values."""
    kind = rng.randrange(6)
    if kind == 0:
        column, low, high = rng.choice([("price", 0, 1000), ("stock", -6, 21), ("select", -1, 4)])
        sign = rng.choice(["<", "<=", ">", ">=", "=", "<>", "!=", "=="])
        value = rng.randrange(low, high)
        name = f'"{column}"' if column == "select" else column
        return f"{name} {sign} {value}", lambda t: _compare(t[column], sign, value)
    if kind == 1:
        sign, text = rng.choice(["=", "<>"]), rng.choice(_CATEGORIES)
        return f"category {sign} {quoted(text)}", lambda t: _compare(t["category"], sign, text)
    if kind == 2:
        column = rng.choice(["price", "stock", "two words"])
        name, negated = f'"{column}"', rng.random() < 0.5
        report = rng.choice(
            [f"{name} is {'not ' if negated else ''}null", f"{name} {'notnull' if negated else 'isnull'}"]
        )
        return report, lambda t: (t[column].notna() if negated else t[column].isna()).astype("boolean")
    if kind == 3:
        low = rng.randrange(0, 900)
        return f"price between {low} and {low + 150}", lambda t: t["price"].between(low, low + 150).astype("boolean")
    if kind == 4:
        some = rng.sample(_CATEGORIES, 3)
        negated = rng.random() < 0.5
        report = f"category {'NOT ' if negated else ''}IN ({', '.join(map(quoted, some))})"
        return report, lambda t: (t["category"].isin(some) ^ negated).astype("boolean")
    digit = rng.randrange(10)
    pattern = rng.choice([f"product-%{digit}", f"%{digit}%"])
    text = f"product-.*{digit}$" if pattern.startswith("p") else str(digit)
    return f"product like '{pattern}'", lambda t: t["product"].str.contains(text).astype("boolean")


def _compare(values: Any, sign: str, value: Any) -> Any:
    ways: dict[str, Any] = {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "=": operator.eq,
        "<>": operator.ne,
    }
    way = ways[{"==": "=", "!=": "<>"}.get(sign, sign)]
    return way(values, value).astype("boolean")


def expression(rng: random.Random, depth: int = 2) -> tuple[str, Mask]:
    """A random expression of comparisons, AND, OR, NOT and brackets."""
    if depth == 0 or rng.random() < 0.25:
        return leaf(rng)
    left, mask = expression(rng, depth - 1)
    if rng.random() < 0.2:
        return f"not ({left})", lambda t: ~mask(t)
    right, other = expression(rng, depth - 1)
    if rng.random() < 0.5:
        return f"({left}) and ({right})", lambda t: mask(t) & other(t)
    return f"({left}) OR ({right})", lambda t: mask(t) | other(t)


def test_a_thousand_random_expressions_equal_pandas(rows: pd.DataFrame, tmp_path: Path) -> None:
    rng = random.Random(1)
    sizes = set()
    with closing(table_of(rows, tmp_path / "items.sqlite")) as table:
        for _ in range(1000):
            text, mask = expression(rng)
            expected = rows["id"][mask(rows).fillna(False).astype(bool)].to_numpy(dtype=np.int64)
            found = filters.matching(table, text)
            assert found.tolist() == expected.tolist(), text
            sizes.add(len(found))
            table.set_authorizer(None)
    assert len(sizes) > 150  # the expressions do tell items apart


HOSTILE = [
    "1=1; ATTACH DATABASE '/tmp/x' AS x",
    "1) UNION SELECT path FROM items WHERE (1=1",
    "price < 20 UNION ALL SELECT 1",
    "id IN (SELECT id FROM items)",
    "exists (select 1)",
    "(select count(*) from sqlite_master) > 0",
    "price < 20 -- and more",
    "price < /* all */ 20",
    "price--5 < 3",
    "pragma_table_info('items')",
    "PRAGMA query_only = 0",
    "load_extension('x')",
    "length(product) > 3",
    "randomblob(1000000000) is not null",
    "lower (product) = 'x'",
    '"length"(product) > 1',
    "product(1)",
    "like('a%', product)",
    "price < 20; DROP TABLE items",
    "DELETE FROM items",
    "price = ?1",
    "price = :name",
    "price = @x",
    "price = $x",
    "price < 20 ORDER BY id",
    "price < 20 LIMIT 1",
    "price < 20 GROUP BY price",
    "rowid = 1",
    "items.price < 20",
    "price in items",
    "sqlite_master",
    "cast(price as text) = '1'",
    "price < 20)",
    "(price < 20",
    "price <",
    "< 20",
    "",
    "   ",
    "product = 'open",
    'product = "open',
    "price = 0x10",
    "price = 1e",
    "product match 'x'",
    "product regexp 'x'",
    "price < 20\0",
    "raise(abort, 'x')",
    "price = x'00'",
    "category = `mug`",
    "[price] < 20",
    "json_extract(product, '$') = 1",
    "price over (partition by id)",
    "values (1)",
    "with x as (select 1) select 1",
    "(" * 3000 + "1" + ")" * 3000,
    "+".join(["1"] * 30_000),
    "writefile('/tmp/x', 'y')",
    "readfile('/etc/passwd') is not null",
    "edit(product)",
    "fts3_tokenizer('x')",
    "zeroblob(1000000000) = 1",
    "hex(zeroblob(500000000)) = 'x'",
    "printf('%.*c', 1000000000, 'x') = ''",
    "replace(product, 'p', 'pppppppppp') = ''",
    "group_concat(product) = 'x'",
    "sum(price) > 3",
    "1 in (with recursive t(x) as (select 1 union all select x + 1 from t) select x from t)",
    "exists (with recursive t(x) as (values (1) union all select x from t) select 1 from t)",
    "price < 20) UNION SELECT sql FROM sqlite_master --",
    "1=1) OR (SELECT load_extension('/tmp/x.so'))",
    "price < 20; VACUUM INTO '/tmp/x'",
    "price < 20; PRAGMA writable_schema = 1",
    "ATTACH '/tmp/x' AS y",
    "json_each('[1]')",
    "generate_series(1, 10)",
    'price < 20 COLLATE "x"',
    "price < 20 \u2028 ; drop table items",
    "product = '\ud800'",
    "price < 20 RETURNING *",
    "price < 20 INDEXED BY x",
    "price < 20 WINDOW w AS ()",
    "product = CURRENT_TIMESTAMP",
    "contents.mark = 'x'",
    "product like '" + "%a" * 60_000 + "'",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_is_not_a_comparison_is_refused(rows: pd.DataFrame, tmp_path: Path, text: str) -> None:
    with closing(table_of(rows, tmp_path / "items.sqlite")) as table, pytest.raises(UsageError) as caught:
        filters.matching(table, text)
    assert "--where" in str(caught.value) and caught.value.hint


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_second_wall_holds_without_the_first(
    rows: pd.DataFrame, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own authorizer: nothing is written, no other table is read and no function runs."""
    monkeypatch.setattr(filters, "check", lambda *_: None)
    monkeypatch.setattr(filter_kinds, "check_kinds", lambda *_: None)
    harmless = (
        "--",
        "/*",
        "like(",
        "rowid",
        "items.price",
        "id IN (SELECT id",
        "exists (select 1",
        "UNION ALL SELECT 1",
        "with x as (select 1)",
        "values (1)",
        "category = `mug`",
        "[price] < 20",
        "cast(",
        "0x10",
        "x'00'",
    )
    with closing(table_of(rows, tmp_path / "items.sqlite")) as table:
        try:
            filters.matching(table, text)
        except (UsageError, sqlite3.Error, ValueError):
            return
    assert any(part in text for part in (*harmless, "ORDER BY", "LIMIT", "GROUP BY")), text


@pytest.mark.parametrize("text", ["abs(price) > 1", "price > MAX (1, 2)", "category = upper('mug')"])
def test_functions_are_refused_in_plain_words_before_sqlite_sees_them(text: str) -> None:
    with pytest.raises(UsageError, match="calls a function, and functions are not run"):
        filters.check(text, ["price", "category"])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT name FROM sqlite_master",
        "SELECT content FROM contents",
        "SELECT id FROM items WHERE id IN (SELECT rowid FROM contents)",
        "SELECT abs(id) FROM items",
        "UPDATE items SET price = 0",
        "DELETE FROM items",
        "ATTACH ':memory:' AS other",
        "PRAGMA table_info(items)",
    ],
)
def test_the_authorizer_permits_reading_items_alone(statement: str) -> None:
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, price REAL)")
        table.execute("CREATE TABLE contents (content TEXT)")
        table.set_authorizer(filters._permit_reading)
        assert table.execute("SELECT id FROM items WHERE price LIKE '%1%'").fetchall() == []
        with pytest.raises(sqlite3.DatabaseError, match=r"authoriz|prohibited"):
            table.execute(statement)


def test_a_slow_filter_is_stopped(rows: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "LONGEST", 0.0)
    many = pd.concat([rows] * 20).assign(id=range(20 * len(rows)))
    with closing(table_of(many, tmp_path / "items.sqlite")) as table, pytest.raises(UsageError, match="took longer"):
        filters.matching(table, "product like '%1%2%3%'")


@pytest.mark.parametrize(
    "pattern", ["%a" * 200 + "%b", "%" + "a" * 900 + "b%", "%a_" * 300 + "b", "%" * 999, "%" + "a" * 30_000 + "b%"]
)
def test_no_pattern_runs_away(tmp_path: Path, pattern: str) -> None:
    """Where matching tried every place for every %, the first would outlast the universe."""
    with closing(sqlite3.connect(tmp_path / "long.sqlite")) as table:
        table.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, product TEXT)")
        table.executemany("INSERT INTO items VALUES (?, ?)", ((row, "a" * 20_000) for row in range(3)))
        began = time.monotonic()
        try:
            found = filters.matching(table, f"product like '{pattern}'").tolist()
        except UsageError as error:
            assert "too complex" in str(error) and len(pattern) > 1000
        else:
            assert found == ([0, 1, 2] if set(pattern) == {"%"} else [])
        assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("text", "named", "hint"),
    [
        ("pricee < 20", "unknown column pricee", "price"),
        ("categori = 'mug'", "unknown column categori", "category"),
        ('category = "mug"', 'unknown column "mug"', "single quotes: 'mug'"),
        ("tow_words = 'a'", "unknown column tow_words", '"two words"'),
        ("length(product) > 3", "length", "--where"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_column(
    rows: pd.DataFrame, tmp_path: Path, text: str, named: str, hint: str
) -> None:
    with closing(table_of(rows, tmp_path / "items.sqlite")) as table, pytest.raises(UsageError) as caught:
        filters.matching(table, text)
    assert named in str(caught.value) and hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "PRICE < 20 And Category = 'Mug'",
        '"two words" is null',
        "price*2 + 1 < stock % 7",
        "category = 'mug' collate nocase",
        "case when price < 5 then 1 else 0 end",
        "product glob 'product-0[1-3]'",
        "product not like '%1' escape '!'",
        "not (price is null)",
        "-price < +3.5e0",
        "category || 's' = 'mugs'",
        "true",
    ],
)
def test_plain_sql_is_understood(rows: pd.DataFrame, tmp_path: Path, text: str) -> None:
    with closing(table_of(rows, tmp_path / "items.sqlite")) as table:
        assert filters.matching(table, text).dtype == np.int64
