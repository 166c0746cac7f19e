"""Names that come from outside: harmless on a terminal, one cell in a table, and read back as they were."""

import csv
import io
import json

import pytest

from dmlcli import printable

ESCAPE, OVERRIDE = "\x1b[2J\x1b]0;title\x07", "gpj.\u202egnp"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mug [red].jpg", "mug [red].jpg"),
        ("größe 名前\u3000x\u00a0y 👩", "größe 名前\u3000x\u00a0y 👩"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("nel\u0085 del\x7f", "nel\\u0085 del\\x7f"),
        ("byte\udcff", "byte\\xff"),
        (OVERRIDE, "gpj.\\u202egnp"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("line\u2028end\u2066", "line\\u2028end\\u2066"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("a\\b", "a\\b"),
    ],
)
def test_a_terminal_shows_what_it_would_obey(name: str, shown: str) -> None:
    assert printable.text(name) == shown


NAMES = [
    "plain",
    "",
    "a\tb\nc\rd\\e\\t",
    ESCAPE,
    OVERRIDE,
    "byte\udcff nel\u0085 line\u2028",
    "👩\u200d🔬",
    "zero\u200bwidth\ufeff\u2060",
    '"quoted", with comma',
    "=HYPERLINK(1)",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\uff1d1+1",
    "'=1",
    "''=1",
    "'tis",
    "-",
    "-3.5",
    "+4,25",
    "1e-05",
    "-1e5",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_of_tsv_is_one_cell_and_can_be_read_back(name: str) -> None:
    line = printable.tsv([name, "x"])
    assert len(line.splitlines()) == 1 and line.count("\t") == 1
    cell = line.split("\t")[0]
    assert cell.isprintable() or name == "👩\u200d🔬"
    assert printable.from_tsv(cell) == name


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_of_csv_is_one_cell(name: str) -> None:
    """As Python reads it, and after it has gone through a file with other line ends."""
    rows = list(csv.reader(io.StringIO(printable.csv([name, "x"]) + "\n", newline="")))
    assert len(rows) == 1 and rows[0][1] == "x"
    if not {*name} & {*ESCAPE, "\u202e", "\r", "\udcff", "\u200b"}:
        assert printable.from_csv(rows[0][0]) == name
    assert "\r" not in rows[0][0] and "\x1b" not in rows[0][0]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@home", "'@home"),
        ("+49 12", "'+49 12"),
        ("-2+3", "'-2+3"),
        ("'=1", "''=1"),
        ("\uff0b1", "'\uff0b1"),
        ("-3.5", "-3.5"),
        ("-0.500000", "-0.500000"),
        ("+4", "+4"),
        ("-1,234.5", "-1,234.5"),
        ("-1e-05", "-1e-05"),
        ("-", "-"),
        ("'tis", "'tis"),
    ],
)
def test_a_formula_gets_an_apostrophe_and_a_number_none(name: str, cell: str) -> None:
    assert printable.tsv([name]) == cell
    assert next(csv.reader([printable.csv([name])])) == [cell]


@pytest.mark.parametrize("name", NAMES)
def test_json_is_exact_and_harmless(name: str) -> None:
    line = printable.dumps({"name": name})
    assert json.loads(line) == {"name": name}
    line.encode("utf-8")  # bytes that are not UTF-8 are escaped
    assert not {*line} & {"\x1b", "\u200b", "\u202e", "\u0085", "\u2028", "\r", "\n"}
