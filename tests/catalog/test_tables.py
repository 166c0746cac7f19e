"""Tables of images in every dialect."""

import json
import sys
from pathlib import Path

import pytest

from dmlcli.catalog import Columns, Item, open_catalog
from dmlcli.errors import CannotRun, CatalogError, UsageError
from tests.conftest import encoded, photo, place

PNG = encoded(photo(0))


def table(root: Path, text: str, name: str = "photos.csv", encoding: str = "utf-8") -> Path:
    file = root / name
    file.write_text(text, encoding=encoding)
    return file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "filename,label,super_class,split,camera,price\n1.png,mug,cups,train,c1,9.5\n"),
        ("a.tsv", "filename\tlabel\tsuper_class\tsplit\tcamera\tprice\n1.png\tmug\tcups\ttrain\tc1\t9.5\n"),
        ("a.csv", "price;filename;label;super_class;split;camera\n9.5;1.png;mug;cups;train;c1\n"),
        ("a.csv", "Filename,Label,Super Class,SPLIT,Camera,price\r\n1.png, mug ,cups,train,c1,9.5\r\n"),
        (
            "a.csv",
            '"filename","label","super_class","split","camera","price"\n"1.png","mug","cups","train","c1","9.5"\n',
        ),
    ],
)
def test_tables_with_the_usual_columns_need_no_options(tmp_path: Path, name: str, text: str) -> None:
    place(tmp_path, "1.png")
    (item,) = open_catalog(table(tmp_path, text, name)).items
    assert item == Item("1.png", "mug", "cups", "train", "c1", (("price", "9.5"),))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    place(tmp_path, "1.png")
    (item,) = open_catalog(table(tmp_path, "image,product\n1.png,mug\n", encoding="utf-8-sig")).items
    assert (item.path, item.product) == ("1.png", "mug")


def test_a_table_may_have_one_column_only(tmp_path: Path) -> None:
    place(tmp_path, "1.png", "2.png")
    assert [item.path for item in open_catalog(table(tmp_path, "image\n1.png\n2.png\n")).items] == ["1.png", "2.png"]


def test_columns_are_named_by_options(tmp_path: Path) -> None:
    place(tmp_path / "photos", "1.png")
    file = table(tmp_path, "picture,sku,aisle,part,who,product\n1.png,007,3,test,ann,a mug\n")
    columns = Columns("picture", "sku", "aisle", "part", "who")
    catalog = open_catalog(file, columns, tmp_path / "photos")
    assert catalog.items == [Item("1.png", "007", "3", "test", "ann", (("product", "a mug"),))]
    assert catalog.root == tmp_path / "photos"


def test_values_stay_as_they_were_typed(tmp_path: Path) -> None:
    """No number, date or NA is made of a product code."""
    place(tmp_path, *(f"{n}.png" for n in range(4)))
    file = table(tmp_path, "image,product\n0.png,007\n1.png,1e5\n2.png,NA\n3.png,1.50\n")
    assert [item.product for item in open_catalog(file).items] == ["007", "1e5", "NA", "1.50"]


def test_a_misspelt_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    place(tmp_path, "1.png")
    file = table(tmp_path, "image,sku\n1.png,7\n")
    with pytest.raises(UsageError, match="no column 'sko'") as caught:
        open_catalog(file, Columns(product="sko"))
    assert "sku" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("sku,name\n1,2\n", "no image column"),
        ("image,product\nnowhere.png,mug\n", "none of the 1 images"),
        ('image,product\n"1.png,mug\n', ""),
    ],
)
def test_tables_that_cannot_serve_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message or None):
        open_catalog(table(tmp_path, text))


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_bytes(PNG)
    with pytest.raises(CatalogError):
        open_catalog(tmp_path / "photos.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image,product\na.png,mug\nb.png,\n", ["mug", ""]),
        ('image,product\na.png,"two\nlines"\nb.png,"a ""cup"", large"\n', ["two\nlines", 'a "cup", large']),
        ("image,product\n\na.png,Größe 😀\n\nb.png,杯\n", ["Größe 😀", "杯"]),
        ("image,product\na.png,007\nb.png,NA\n", ["007", "NA"]),
    ],
)
def test_cells_of_any_kind_are_read(tmp_path: Path, text: str, expected: list[str]) -> None:
    place(tmp_path, "a.png", "b.png")
    assert [item.product for item in open_catalog(table(tmp_path, text)).items] == expected


@pytest.mark.parametrize("row", ["b.png,mug,9", "b.png"])
def test_a_row_with_another_number_of_cells_is_listed_by_its_line(tmp_path: Path, row: str) -> None:
    place(tmp_path, "a.png", "c.png")
    catalog = open_catalog(table(tmp_path, f"image,product\na.png,mug\n{row}\nc.png,pot\n"))
    assert [(item.path, item.product) for item in catalog.items] == [("a.png", "mug"), ("c.png", "pot")]
    (skipped,) = catalog.skipped
    assert skipped.path == f"{tmp_path}/photos.csv:3" and "the header has 2" in skipped.reason


def test_spreadsheets_write_utf_16(tmp_path: Path) -> None:
    place(tmp_path, "a.png")
    (item,) = open_catalog(table(tmp_path, "image\tproduct\na.png\tGröße\n", "photos.txt", "utf-16")).items
    assert (item.path, item.product) == ("a.png", "Größe")


def test_a_name_that_is_not_utf_8_is_found(tmp_path: Path) -> None:
    name = b"caf\xe9.png"
    Path(bytes(tmp_path).decode() + "/" + name.decode(errors="surrogateescape")).write_bytes(PNG)
    (tmp_path / "photos.csv").write_bytes(b"image,product\n" + name + b",mug\n")
    (item,) = open_catalog(tmp_path / "photos.csv").items
    assert (tmp_path / item.path).read_bytes() == PNG


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png 3\nb c.png 4\n", [("a.png", "3"), ("b c.png", "4")]),
        ("a.png\tred mug\nb c.png\tblue mug\n", [("a.png", "red mug"), ("b c.png", "blue mug")]),
        ("a.png,3\r\nb c.png, 4\r\n", [("a.png", "3"), ("b c.png", "4")]),
        ("b c.png\na.png\n", [("b c.png", ""), ("a.png", "")]),
        ("path,label\na.png,3\nb c.png,4\n", [("a.png", "3"), ("b c.png", "4")]),
    ],
)
def test_lists_of_path_and_label(tmp_path: Path, text: str, expected: list[tuple[str, str]]) -> None:
    place(tmp_path, "a.png", "b c.png")
    (tmp_path / "photos.txt").write_bytes(text.encode())
    assert [(item.path, item.product) for item in open_catalog(tmp_path / "photos.txt").items] == expected


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    for text, message in (("", "empty"), ("nowhere.png\n", "none of the 1 images"), ("a.png 1\nb\n", "line 2 of")):
        with pytest.raises(CatalogError, match=message):
            open_catalog(table(tmp_path, text, "photos.txt"))


def test_json_lines_keep_their_values_and_may_lack_some(tmp_path: Path) -> None:
    place(tmp_path, "a.png", "b.png")
    rows = [
        {"image": "a.png", "product": 7, "price": 1.5, "sold": True, "note": None},
        {"image": "b.png", "product": "007", "tags": ["red", "Größe"]},
    ]
    text = "\n".join(json.dumps(row) for row in rows) + "\n\n"
    first, second = open_catalog(table(tmp_path, text, "photos.jsonl")).items
    assert (first.product, second.product) == ("7", "007")
    assert dict(first.columns) == {"price": "1.5", "sold": "true", "note": "", "tags": ""}
    assert dict(second.columns) == {"price": "", "sold": "", "note": "", "tags": '["red", "Größe"]'}


def test_a_line_may_list_several_photos_of_a_product(tmp_path: Path) -> None:
    place(tmp_path, "a.png", "b.png", "c.png")
    text = '{"product": "mug", "images": ["a.png", "b.png"]}\n{"product": "pot", "images": "c.png"}\n'
    items = open_catalog(table(tmp_path, text, "photos.jsonl")).items
    assert [(item.path, item.product) for item in items] == [("a.png", "mug"), ("b.png", "mug"), ("c.png", "pot")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"image": "a.png"}\n{"image": \n', "line 2 of .* is not valid JSON"),
        ("[1, 2]\n", "line 1 of .* is not a JSON object"),
        ('{"image": 7}\n', "line 1 of .* the image 7 is not a path"),
        ('{"sku": 7}\n', "no image column; its columns are sku"),
    ],
)
def test_json_lines_that_cannot_serve_are_refused_by_line(tmp_path: Path, text: str, message: str) -> None:
    place(tmp_path, "a.png")
    with pytest.raises(CatalogError, match=message):
        open_catalog(table(tmp_path, text, "photos.jsonl"))


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    place(tmp_path, "a.png", "b.png")
    columns = {"image": ["a.png", "b.png"], "product": [7, 8], "price": [1.5, None], "color": ["rot", "grün"]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "photos.parquet")
    assert open_catalog(tmp_path / "photos.parquet").items == [
        Item("a.png", "7", columns=(("price", "1.5"), ("color", "rot"))),
        Item("b.png", "8", columns=(("price", ""), ("color", "grün"))),
    ]
    (tmp_path / "photos.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(CatalogError, match="cannot be read as Parquet"):
        open_catalog(tmp_path / "photos.parquet")


def test_without_its_library_parquet_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    place(tmp_path, "photos.parquet")
    with pytest.raises(CannotRun, match="needs the library pyarrow") as caught:
        open_catalog(tmp_path / "photos.parquet")
    assert "pip install 'dmlcli[parquet]'" in caught.value.hint


def test_equal_values_are_one_object(tmp_path: Path) -> None:
    """A million rows of a few products must not hold a million names."""
    place(tmp_path, "1.png")
    text = "image,product,color\n" + "1.png,mug-with-a-long-name,red\n" * 2
    first, second = open_catalog(table(tmp_path, text)).items
    assert first.product is second.product and first.columns[0] is second.columns[0]


def test_rows_without_an_image_are_counted_and_empty_ones_are_not(tmp_path: Path) -> None:
    """Spreadsheets leave empty rows below the last one."""
    place(tmp_path, "1.png")
    catalog = open_catalog(table(tmp_path, "image,product,price\n1.png,mug,9\n,pot,8\n,,7\n,,\n"))
    assert [item.path for item in catalog.items] == ["1.png"]
    assert [(skipped.path, skipped.reason) for skipped in catalog.skipped] == [
        (f"{tmp_path}/photos.csv:3", "2 rows have no image (lines 3, 4)")
    ]
