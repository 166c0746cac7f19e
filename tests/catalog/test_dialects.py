"""Tables as programs write them: read rightly where that is safe, else refused by line; never silently wrong."""

import json
from pathlib import Path

import pytest

from dmlcli import progress
from dmlcli.catalog import Catalog, open_catalog
from dmlcli.errors import CatalogError
from tests.conftest import encoded, photo, place

NAMES = ["0.png", "1.png", "2.png", "3.png"]


class Messages(progress.Silent):
    """Keeps notes and warnings."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def note(self, message: str) -> None:
        self.all.append(message)

    def warn(self, message: str) -> None:
        self.all.append(message)


@pytest.fixture
def said() -> Messages:
    listener = Messages()
    progress.listen(listener)
    return listener


def read(root: Path, content: str | bytes, name: str = "photos.csv") -> Catalog:
    place(root, *NAMES)
    (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return open_catalog(root / name)


def products(catalog: Catalog) -> list[tuple[str, str]]:
    return [(item.path, item.product) for item in catalog.items]


def column(catalog: Catalog, name: str) -> list[str]:
    return [dict(item.columns)[name] for item in catalog.items]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ('sep=;\nimage;product;"price, net, in EUR, today"\n0.png;mug;7\n1.png;pot;8\n', "photos.csv"),
        ("sep=|\r\nimage|product\r\n0.png|mug\r\n1.png|pot\r\n", "photos.csv"),
        ("image|product|note\n0.png|mug|a, b, c; d\n1.png|pot|x\n", "photos.csv"),
        ("Stock on 26 November\n\nimage;product\n0.png;mug\n1.png;pot\nTotal;\n", "photos.csv"),
        (",image,product\n0,0.png,mug\n1,1.png,pot\n", "photos.csv"),
        ("image,product,\n0.png,mug,\n1.png,pot\n,,\n", "photos.csv"),
        ('image, product\n"0.png", "mug"\n"1.png", "pot"\n', "photos.csv"),
        ("image\tproduct\n0.png\tmug\n1.png\tpot\n".encode("utf-16"), "photos.csv"),
        ("image\tproduct\n0.png\tmug\n1.png\tpot\n".encode("utf-16-le"), "photos.txt"),
        ("image,product\n0.png,mug\n1.png,pot\n".encode("utf-32"), "photos.csv"),
        (' [\n {"image": "0.png", "product": "mug"},\n {"image": "1.png", "product": "pot"}\n]\n', "photos.json"),
        ('{"image": {"path": "0.png", "bytes": null}, "label": "mug"}\n{"image": "1.png", "label": "pot"}', "p.jsonl"),
    ],
)
def test_dialects_are_read(tmp_path: Path, content: str | bytes, name: str) -> None:
    assert products(read(tmp_path, content, name))[:2] == [("0.png", "mug"), ("1.png", "pot")]


def test_a_shopify_export(tmp_path: Path) -> None:
    """A product has a full row, then a row for each further photo; its description has lines and commas."""
    content = (
        "Handle,Title,Body (HTML),Variant SKU,Variant Price,Image Src,Image Position\n"
        'mug,"Mug 12"" tall","<p>A mug,\nred, tall</p>",M-1,19.00,0.png,1\n'
        "mug,,,,,1.png,2\n"
        "pot,Pot,<p>A pot</p>,P-1,29.00,2.png,1\n"
    )
    catalog = read(tmp_path, content)
    assert products(catalog) == [("0.png", "mug"), ("1.png", "mug"), ("2.png", "pot")]
    assert column(catalog, "Title") == ['Mug 12" tall', "", "Pot"]
    assert column(catalog, "Variant Price") == ["19.00", "", "29.00"]


def test_a_woocommerce_export(tmp_path: Path, said: Messages) -> None:
    catalog = read(tmp_path, 'ID,Type,SKU,Name,Images\n1,simple,M-1,Mug,"0.png, 1.png"\n2,simple,P-1,Pot,2.png\n')
    assert products(catalog) == [("0.png", "M-1"), ("1.png", "M-1"), ("2.png", "P-1")]
    assert any("several images in a cell: 1 rows, first line 2" in message for message in said.all)


@pytest.mark.parametrize("cell", ["0.png;1.png", "0.png|1.png", "'[''0.png'', ''1.png'']'"])
def test_several_images_in_a_cell(tmp_path: Path, cell: str) -> None:
    cell = cell.replace("''", '""').replace("'", '"')
    assert products(read(tmp_path, f"image,product\n{cell},mug\n")) == [("0.png", "mug"), ("1.png", "mug")]


def test_a_name_with_a_comma_is_one_image(tmp_path: Path) -> None:
    place(tmp_path, "a.png, b.png")
    assert products(read(tmp_path, 'image,product\n"a.png, b.png",mug\n')) == [("a.png, b.png", "mug")]


@pytest.mark.parametrize("cells", ['"15 inch', '15" pan', 'a "big" pan'])
def test_inch_marks_are_text_where_nothing_is_quoted(tmp_path: Path, cells: str) -> None:
    catalog = read(tmp_path, f"image,title,product\n0.png,{cells},mug\n1.png,x,pot\n2.png,{cells},mug\n")
    assert column(catalog, "title") == [cells, "x", cells] and not catalog.skipped


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('image,title,product\n0.png,"a, b",mug\n1.png,"15 inch,mug\n2.png,x,pot\n', 3),
        ('image,title,product\n0.png,"a, b",mug\n1.png,"15 inch,mug\n2.png,x,pot\n3.png,12",mug\n', 3),
        ('image,title,product\n0.png,"a, b",mug\n1.png,"15 inch,mug\n2.png,"12 inch,pot\n', 3),
        ('sep=,\nimage,title,product\n0.png,"a, b",mug\n1.png,"15 inch,mug\n2.png,x,pot\n', 4),
    ],
)
def test_a_stray_quote_among_quoted_cells_is_named_by_its_line(tmp_path: Path, content: str, line: int) -> None:
    with pytest.raises(CatalogError, match=f"line {line} of .*quotation mark"):
        read(tmp_path, content)


def test_escaped_quotes(tmp_path: Path) -> None:
    catalog = read(tmp_path, 'image,title,product\n0.png,"a 15\\" pan, red",mug\n1.png,"x",pot\n')
    assert column(catalog, "title") == ['a 15" pan, red', "x"]


def test_lines_are_counted_over_cells_with_line_breaks(tmp_path: Path) -> None:
    catalog = read(tmp_path, 'image,title\r\n0.png,"a\r\nb\r\nc"\r\n\r\n1.png,x,y\r\n2.png,z\r\n')
    assert [skipped.path.rpartition(":")[2] for skipped in catalog.skipped] == ["6"]


@pytest.mark.parametrize("count", [3, 5003])
def test_a_table_of_any_length_is_read_alike(tmp_path: Path, count: int) -> None:
    """Long tables without quotes are read by pandas."""
    rows = "".join(f"{row % 4}.png, p{row} ,NA\r\n" for row in range(count))
    catalog = read(tmp_path, f"title\r\nimage,product,note\r\n{rows}")
    assert products(catalog) == [(f"{row % 4}.png", f"p{row}") for row in range(count)]
    assert set(column(catalog, "note")) == {"NA"}


def test_most_rows_must_fit_the_header(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"3 of 3 rows .* the first is line 2 with 3 cells"):
        read(tmp_path, "image,price\n0.png,1,50\n1.png,2,50\n2.png,3,50\n")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("image,image,product\n0.png,1.png,mug\n", "p.csv", "duplicate column 'image'"),
        ("0.png,mug\n1.png,pot\n", "p.csv", "has no header"),
        ("<!DOCTYPE html>\n<html></html>\n", "p.csv", "web page"),
        (b"PK\x03\x04" + b"\0" * 90, "p.csv", "Excel"),
        (b"\x1f\x8b" + b"\0" * 90, "p.csv", "gzip"),
        (b"0.png\0001.png\0", "p.txt", "entries by NUL characters"),
        (b"image,product\n0.png,m\0g\n", "p.csv", "line 2 has a NUL"),
        ("image,product\n0.png,Größe\n1.png,".encode() + b"Gr\xf6\xdfe\n", "p.csv", "line 3 .* not valid UTF-8"),
        (b"image,product\n0.png,Gr\x81\n", "p.csv", "line 2 .* neither UTF-8 nor Windows-1252"),
        ('[\n{"image": "0.png"}\n{"image": "1.png"}]', "p.json", "line 3 .* comma"),
        ('[\n{"image": "0.png"},\n7]', "p.json", "line 3 .* not a JSON object"),
        ('{\n"image": "0.png"\n}', "p.json", "one JSON object over several lines"),
        ("image,is_query\n0.png,1\n1.png,perhaps\n", "p.csv", "line 3 .*'perhaps' in column is_query"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_line(
    tmp_path: Path, content: str | bytes, name: str, message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        read(tmp_path, content, name)


def test_windows_1252_is_read_and_noted(tmp_path: Path, said: Messages) -> None:
    catalog = read(tmp_path, "image,product\n0.png,mug\n1.png,Größe 5 €\n".encode("cp1252"))
    assert products(catalog) == [("0.png", "mug"), ("1.png", "Größe 5 €")]
    (message,) = said.all
    assert "Windows-1252" in message and "line 3: 1.png,Größe 5 €" in message


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_windows_1252_table_finds_files_named_either_way(tmp_path: Path, encoding: str) -> None:
    name = "größe.png".encode(encoding).decode("utf-8", "surrogateescape")
    (tmp_path / name).write_bytes(encoded(photo(0)))
    (item,) = read(tmp_path, "image,product\ngröße.png,Tür\n".encode("cp1252")).items
    assert (item.path, item.product) == (name, "Tür")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["4700.0", "4701.0", "", "4700.0"], ["4700", "4701", "", "4700"]),
        (["4700.0", "nan", "4701.0", "NaN"], ["4700", "", "4701", ""]),
        (["4700", "n/a", "4701", "-"], ["4700", "", "4701", ""]),
        (["1.0", "1.5", "2.0", ""], ["1.0", "1.5", "2.0", ""]),
        (["007", "NA", "8", "9"], ["007", "NA", "8", "9"]),
        (["mug", "nan", "pot", "NA"], ["mug", "nan", "pot", "NA"]),
    ],
)
def test_products_of_a_float_column(tmp_path: Path, said: Messages, cells: list[str], expected: list[str]) -> None:
    rows = "".join(f"{name},{cell}\n" for name, cell in zip(NAMES, cells, strict=True))
    assert [product for _, product in products(read(tmp_path, f"image,product\n{rows}"))] == expected
    changed = cells != expected or "nan" in cells
    assert len(said.all) == changed and all("line " in message for message in said.all)


def test_codes_that_a_spreadsheet_rounded_are_warned_of(tmp_path: Path, said: Messages) -> None:
    read(tmp_path, "image,product\n0.png,mug\n1.png,4.00638E+12\n2.png,4.00638E+12\n")
    (message,) = said.all
    assert "'4.00638E+12' in line 3 of" in message and "2 rows" in message


@pytest.mark.parametrize(
    ("flags", "splits"),
    [
        (["1,0", "0,1", "0,1", ","], ["query", "gallery", "gallery", "train"]),
        (["True,False", "False,True", "yes,no", ","], ["query", "gallery", "query", "train"]),
        (["1,1", "1,1", "1,1", ","], ["train"] * 4),
        (["0,0", "1.0,0.0", "0,1", ","], ["train", "query", "gallery", "train"]),
    ],
)
def test_the_flags_of_open_metric_learning(tmp_path: Path, flags: list[str], splits: list[str]) -> None:
    rows = "".join(f"{name},mug,train,{flag}\n" for name, flag in zip(NAMES, flags, strict=True))
    catalog = read(tmp_path, f"path,label,split,is_query,is_gallery\n{rows}")
    assert [item.split for item in catalog.items] == splits and catalog.items[0].columns == ()


def test_backslashes_are_slashes_where_the_files_are(tmp_path: Path, said: Messages) -> None:
    place(tmp_path, "in/a.png", "b\\c.png")
    catalog = read(tmp_path, "image,product\nin\\a.png,mug\nb\\c.png,pot\n")
    assert [item.path for item in catalog.items] == ["in/a.png", "b\\c.png"]
    assert len(said.all) == 1 and "line 2" in said.all[0]


def test_file_urls_are_paths(tmp_path: Path) -> None:
    place(tmp_path, "a b.png")
    (item,) = read(tmp_path, f"image,product\nfile://{tmp_path}/a%20b.png,mug\n").items
    assert item.path == f"{tmp_path}/a b.png"


def test_a_missing_image_in_json_is_listed_by_line(tmp_path: Path) -> None:
    rows = [{"image": "0.png", "product": 7.0}, {"image": None, "product": 8.0}, {"image": [], "product": float("nan")}]
    catalog = read(tmp_path, "\n".join(map(json.dumps, rows)), "photos.jsonl")
    assert products(catalog) == [("0.png", "7")]
    assert [(skipped.path[-2:], skipped.reason) for skipped in catalog.skipped] == [(":2", "the row has no image")]


def test_images_inside_parquet_are_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    place(tmp_path, "0.png")
    for cells in ([{"bytes": b"x", "path": "0.png"}], [b"x"]):
        parquet.write_table(pyarrow.table({"image": cells, "label": [1]}), tmp_path / "p.parquet")
        with pytest.raises(CatalogError, match="contains embedded images"):
            open_catalog(tmp_path / "p.parquet")
    columns = {"image": [{"bytes": None, "path": "0.png"}], "label": [4700.0], "hash": [b"x"], "width": [float("nan")]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "p.parquet")
    (item,) = open_catalog(tmp_path / "p.parquet").items
    assert (item.path, item.product, item.columns) == ("0.png", "4700", (("width", ""),))
