"""The catalog's own columns in every format of query, whatever their cells hold."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

import dmlcli
from dmlcli import printable
from tests.conftest import Cli, make_shop

CELLS = [
    "=cmd|' /c calc'!A0",
    "+1",
    "-1",
    "@x",
    "a\tb",
    "line\nbreak",
    'say "hi", ok',
    "ä é 中 א",
    "12.50 €",
    "'=1",
    "007",
]
COLUMNS = ["category", "title", "price", "score", "empty"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, plain_model: Path) -> Path:
    """A catalog with a hostile title for each product, prices with two decimals, and a column whose name is taken."""
    folder = tmp_path_factory.mktemp("columns")
    shop = make_shop(folder / "shop", len(CELLS), 1)
    with (folder / "shop.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["path", "product", "category", "title", "price", "score", "empty"])
        for number, file in enumerate(sorted(shop.rglob("*.png"))):
            table.writerow(
                [file.relative_to(folder), file.parent.name, "mug", CELLS[number], f"{number + 0.5:.2f}", number, ""]
            )
    dmlcli.index(folder / "shop.csv", model=plain_model, workspace=folder / ".dmlcli")
    return folder


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


PHOTO = "shop/product-00/0.png"


def titles(rows: Any) -> dict[str, str]:
    """The title of each product."""
    return {row["product"]: row["title"] for row in rows}


EXPECTED = {f"product-{number:02}": cell for number, cell in enumerate(CELLS)}


def test_csv_has_all_columns_and_no_formula(cli: Cli) -> None:
    text = cli("query", PHOTO, "-k", 99, "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "query",
        "rank",
        "score",
        "product",
        "image",
        "confidence",
        "category",
        "title",
        "price",
        "score_",
        "empty",
    ]
    assert {name: printable.from_csv(cell) for name, cell in titles(rows).items()} == EXPECTED
    assert titles(rows)["product-00"] == "'" + CELLS[0] and titles(rows)["product-03"] == "'@x"
    assert sorted(row["price"] for row in rows) == sorted(f"{number + 0.5:.2f}" for number in range(len(CELLS)))
    assert not any(cell[:1] in ("=", "@", "\t") for row in rows for cell in row.values())


def test_pandas_reads_the_csv(cli: Cli) -> None:
    frame = pd.read_csv(io.StringIO(cli("query", PHOTO, "-k", 99, "--format", "csv").out), dtype={"title": str})
    assert frame["price"].sum() == sum(number + 0.5 for number in range(len(CELLS)))
    found = dict(zip(frame["product"], map(printable.from_csv, frame["title"]), strict=True))
    assert found == EXPECTED


def test_tsv_has_chosen_columns_after_the_others(cli: Cli) -> None:
    rows = [line.split("\t") for line in cli("query", PHOTO, "-k", 99, "--columns", "price,TITLE").out.splitlines()]
    assert {row[3]: printable.from_tsv(row[6]) for row in rows} == EXPECTED
    assert {len(row) for row in rows} == {7} and rows[0][5] == "0.50"
    assert {len(line.split("\t")) for line in cli("query", PHOTO).out.splitlines()} == {5}


def test_a_table_shows_chosen_columns(cli: Cli) -> None:
    shown = cli("query", PHOTO, "-k", 2, "--format", "table", "--columns", "title,price").out
    head = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["score"])
    assert head == ["score", "product", "title", "price", "image"] and "0.50" in shown and CELLS[0] in shown
    assert "title" not in cli("query", PHOTO, "-k", 2, "--format", "table").out


def test_json_has_chosen_columns(cli: Cli) -> None:
    (answer,) = json.loads(cli("query", PHOTO, "--columns", "price", "--format", "json").out)["answers"]
    assert [list(hit["columns"]) for hit in answer["hits"]] == [["price"]] * 10
    assert answer["hits"][0]["columns"]["price"] == 0.5


def test_python_takes_one_name_or_several() -> None:
    for asked in ("title", ["title"]):
        (answer,) = dmlcli.query(PHOTO, top_k=1, columns=asked).answers
        assert answer.hits[0].columns == {"title": CELLS[0]}


def test_a_misspelled_column_is_a_usage_error(cli: Cli) -> None:
    found = cli("query", PHOTO, "--columns", "titel")
    assert (found.code, found.out) == (2, "") and "unknown column titel" in found.err and "title" in found.err


@pytest.mark.parametrize("format", ["tsv", "csv", "jsonl", "json"])
def test_a_file_has_what_would_be_printed(cli: Cli, format: str, tmp_path: Path) -> None:
    file = tmp_path / f"hits.{format}"
    found = cli("query", PHOTO, "-k", 99, "-o", file)
    assert (found.code, found.out) == (0, "")
    assert file.read_bytes() == cli("query", PHOTO, "-k", 99, "--format", format).out.encode()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_paths_go_into_a_file_byte_for_byte(cli: Cli, tmp_path: Path) -> None:
    assert cli("query", PHOTO, "-k", 2, "--format", "paths", "-0", "-o", tmp_path / "list").code == 0
    names = (tmp_path / "list").read_bytes().split(b"\0")
    assert names[0] == PHOTO.encode() and len(names) == 3


def test_a_file_stays_as_it_was_if_the_query_fails(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "hits.csv").write_text("before")
    assert cli("query", "missing.jpg", "-o", tmp_path / "hits.csv").code == 4
    assert (tmp_path / "hits.csv").read_text() == "before"
    found = cli("query", PHOTO, "-o", tmp_path / "nowhere" / "hits.csv")
    assert found.code == 4 and "folder not found" in found.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "xlsx"], "needs a file"),
        (["--format", "csv", "-o", "a.xlsx"], "does not fit"),
        (["--format", "xlsx", "-o", "a.csv"], "-o a.xlsx"),
        (["--show", "-o", "a.csv"], "--show only works"),
        (["--format", "csv", "-o", "a.json"], "does not fit"),
        (["-o", "-"], "leave out --output"),
        (["--columns", "product"], "always shown"),
    ],
)
def test_formats_and_files_that_do_not_fit_are_usage_errors(cli: Cli, options: list[str], said: str) -> None:
    found = cli("query", PHOTO, *options)
    assert found.code == 2 and said in found.err and not list(Path.cwd().glob("a.*"))


def test_a_workbook_has_photos_links_and_plain_cells(cli: Cli, tmp_path: Path) -> None:
    found = cli("query", PHOTO, "shop/product-01/0.png", "-k", 99, "-o", tmp_path / "hits.xlsx")
    assert (found.code, found.out, found.err) == (0, "", "")
    sheet = openpyxl.load_workbook(tmp_path / "hits.xlsx")["hits"]
    head, *rows = sheet.iter_rows()
    names = [cell.value for cell in head]
    own = ["score_" if name == "score" else name for name in COLUMNS]  # a heading of the workbook, too
    assert names == ["query photo", "query", "rank", "photo", "product", "score", "confidence", *own, "image"]
    assert len(rows) == 2 * len(CELLS)
    assert all(cell.data_type in ("s", "n") for row in rows for cell in row)
    cells = [dict(zip(names, row, strict=True)) for row in rows]
    assert {row["product"].value: row["title"].value for row in cells} == EXPECTED
    assert cells[0]["title"].quotePrefix and not cells[0]["product"].quotePrefix  # stays text when it is edited
    assert {row["price"].number_format for row in cells} == {"0.00"} and cells[0]["price"].value == 0.5
    link = cells[0]["image"].hyperlink.target
    assert (tmp_path / link).resolve() == Path(PHOTO).resolve()
    anchored = sorted((image.anchor._from.row, image.anchor._from.col) for image in sheet._images)
    queries = [(1, 0), (1 + len(CELLS), 0)]
    assert anchored == sorted(queries + [(row, 3) for row in range(1, len(rows) + 1)])


def test_a_query_without_hits_has_a_row(cli: Cli, tmp_path: Path) -> None:
    found = cli("query", PHOTO, "--where", "price > 900", "-o", tmp_path / "hits.xlsx")
    sheet = openpyxl.load_workbook(tmp_path / "hits.xlsx")["hits"]
    assert found.code == 1 and [cell.value for cell in sheet[2]] == [None, PHOTO, *[None] * (len(COLUMNS) + 6)]


def test_a_missing_openpyxl_is_an_error_with_the_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = cli("query", PHOTO, "-o", "hits.xlsx")
    assert found.code == 4 and "pip install 'dmlcli[excel]'" in found.err and not Path("hits.xlsx").exists()


def test_the_image_is_a_link_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = cli("query", PHOTO, "-k", 1, "--format", "table").out
    assert "\x1b]8;id=" in shown and Path(PHOTO).absolute().as_uri() in shown
