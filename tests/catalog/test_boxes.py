"""Bounding boxes: wherever an item is seen, it is seen as if its part had been cut out of the file before."""

import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dmlcli
from dmlcli import embeddings
from dmlcli.catalog import Catalog, Columns, Item, Photo, open_catalog
from dmlcli.embeddings import Vectors
from dmlcli.errors import ImageError, UsageError
from dmlcli.image import ImageSettings, Pixels, cropped, open_image, view
from dmlcli.pages.contact_sheet import strip
from dmlcli.types import Box
from tests.conftest import Cli, encoded, photo, photos_of

SETTINGS = ImageSettings(resize=16, crop=16)


def scene() -> Image.Image:
    """Two products side by side, as on a shelf: 96 x 40."""
    shelf = Image.new("RGB", (96, 40))
    shelf.paste(photo(1), (0, 0))
    shelf.paste(photo(2), (48, 0))
    return shelf


def shelf_table(root: Path, header: str, *rows: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "shelf.png").write_bytes(encoded(scene()))
    (root / "shelf.csv").write_text("\n".join([f"image,product,{header}", *rows]) + "\n")
    return root / "shelf.csv"


@pytest.mark.parametrize(
    ("header", "cells", "option"),
    [
        ("x1,y1,x2,y2", "48,0,96,40", None),
        ("Left,Top,Right,Bottom", "48,0,96,40", None),
        ("a,b,c,d", "48,0,96,40", "a,b,c,d"),
        ("box", "48 0 96 40", "box"),
        ("box", '"48, 0, 96, 40"', "box"),
        ("box", '"[48.0, 0, 96, 40]"', "box"),
    ],
)
def test_boxes_are_read_from_one_column_or_four(tmp_path: Path, header: str, cells: str, option: str | None) -> None:
    empty = "," * cells.count(",") if '"' not in cells else ""
    file = shelf_table(tmp_path, header, f"shelf.png,pot,{cells}", f"shelf.png,all,{empty}")
    first, second = open_catalog(file, Columns(box=option)).items
    assert first == Item("shelf.png", "pot", box=(48, 0, 96, 40)) and second == Item("shelf.png", "all")


def test_boxes_in_json_lines(tmp_path: Path) -> None:
    (tmp_path / "shelf.png").write_bytes(encoded(scene()))
    (tmp_path / "shelf.jsonl").write_text(json.dumps({"image": "shelf.png", "area": [48, 0, 96, 40]}))
    assert open_catalog(tmp_path / "shelf.jsonl", Columns(box="area")).items[0].box == (48, 0, 96, 40)


@pytest.mark.parametrize("cell", ["1 2 3", "a b c d", "9 0 5 40", "0 0 nan 40", "0 0 inf 40", "5 5 5 9"])
def test_a_box_that_is_none_is_listed_and_stops_nothing(tmp_path: Path, cell: str) -> None:
    catalog = open_catalog(
        shelf_table(tmp_path, "box", f"shelf.png,mug,{cell}", "shelf.png,pot,48 0 96 40"), Columns(box="box")
    )
    assert [item.product for item in catalog.items] == ["pot"]
    (skipped,) = catalog.skipped
    assert (
        skipped.path == str(tmp_path / "shelf.png")
        and f"invalid box '{cell}': expected left, top, right, bottom" in skipped.reason
    )


def test_box_columns_are_checked(tmp_path: Path) -> None:
    file = shelf_table(tmp_path, "x1,y1,x2,y2", "shelf.png,mug,0,0,9,9")
    with pytest.raises(UsageError, match="no column 'y3'"):
        open_catalog(file, Columns(box="x1,y1,x2,y3"))
    with pytest.raises(UsageError, match="--box-column: 2 columns"):
        open_catalog(file, Columns(box="x1,y1"))


def test_a_part_is_seen_as_if_it_had_been_cut_out_before() -> None:
    whole = encoded(scene())
    for box, cut in (((0, 0, 48, 40), (0, 0, 48, 40)), ((47.6, -9, 300, 39.2), (47, 0, 96, 40))):
        before = view(encoded(scene().crop(cut)), SETTINGS)
        assert np.array_equal(view(cropped(whole, box), SETTINGS), before)


def test_boxes_are_of_the_upright_image() -> None:
    """A phone stores the picture lying, and says so; boxes are drawn on what people see."""
    lying = scene().rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 270 degrees
    stream = io.BytesIO()
    lying.save(stream, "PNG", exif=exif)
    upright = np.asarray(open_image(stream.getvalue()))
    assert upright.shape == (40, 96, 3)
    part = np.asarray(open_image(cropped(stream.getvalue(), (48, 0, 96, 40))))
    assert np.array_equal(part, upright[:, 48:])


def test_a_box_outside_the_image_is_refused() -> None:
    with pytest.raises(ImageError, match="is outside the image of 96 x 40 pixels"):
        cropped(encoded(scene()), (100, 0, 120, 40))


def means(pixels: Pixels) -> Vectors:
    """A model of sorts: the mean color."""
    raw = pixels.mean(axis=(2, 3)) + 3
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), dtype=np.float32)


def embed(catalog: Catalog, known: list[embeddings.Embeddings] | None = None) -> embeddings.Computed:
    return embeddings.compute(catalog, lambda data: view(data, SETTINGS), means, "means", known=known or [])


def test_parts_of_one_image_have_embeddings_of_their_own(tmp_path: Path) -> None:
    boxes: list[Box | None] = [(0, 0, 48, 40), (48, 0, 96, 40), None, (500, 0, 600, 40)]
    (tmp_path / "shelf.png").write_bytes(encoded(scene()))
    (tmp_path / "pot.png").write_bytes(encoded(scene().crop((48, 0, 96, 40))))
    items = [Item("shelf.png", str(box), box=box) for box in boxes]
    computed = embed(Catalog(tmp_path, [*items, Item("pot.png", "pot")]))
    mug, pot, whole, cut = computed.embeddings.vectors
    assert np.array_equal(pot, cut) and not np.allclose(mug, pot) and not np.allclose(pot, whole)
    (skipped,) = computed.skipped
    assert "is outside" in skipped.reason


def test_boxes_are_kept_on_disk_and_known_again(tmp_path: Path) -> None:
    (tmp_path / "shelf.png").write_bytes(encoded(scene()))
    first = Catalog(tmp_path, [Item("shelf.png", "mug", columns=(("price", "9"),), box=(0.1, 0, 48, 40))])
    embeddings.save(tmp_path / "saved", embed(first).embeddings)
    saved = embeddings.open_embeddings(tmp_path / "saved")
    assert saved.items == first.items
    assert embed(first, [saved]).fresh == 0
    other = Catalog(tmp_path, [Item("shelf.png", "mug", box=(48, 0, 96, 40)), Item("shelf.png", "mug")])
    assert embed(other, [saved]).fresh == 2


def test_a_photo_reads_as_its_part(tmp_path: Path) -> None:
    (tmp_path / "shelf.png").write_bytes(encoded(scene()))
    catalog = Catalog(tmp_path, [Item("shelf.png", "pot", box=(48, 0, 96, 40))])
    assert catalog.photo(catalog.items[0]) == Photo(tmp_path / "shelf.png", (48, 0, 96, 40))
    assert open_image(catalog.photo(catalog.items[0]).read_bytes()).size == (48, 40)


def test_the_command_line_cuts_boxes_and_is_strict_where_asked(tmp_path: Path, cli: Cli, plain_model: Path) -> None:
    file = shelf_table(tmp_path / "shop", "area", "shelf.png,pot,48 0 96 40", "cut.png,pot,", "gone.png,pot,")
    (file.parent / "cut.png").write_bytes(encoded(scene().crop((48, 0, 96, 40))))
    options = ["--model", plain_model, "-w", tmp_path / "ws", "-o", tmp_path / "x.npz"]
    assert cli("embed", file, "--box-column", "area", *options).code == 3  # gone.png is listed
    boxed, cut = np.load(tmp_path / "x.npz")["embeddings"]
    assert np.allclose(boxed, cut, atol=1e-6)
    done = cli("embed", file, "--box-column", "area", "--strict", *options)
    assert done.code == 4 and "1 of the 3 images" in done.err and "gone.png" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["head", "all"])
def test_training_on_boxes_equals_training_on_the_parts(
    tune: str, tmp_path: Path, cli: Cli, random_weights: Path
) -> None:
    """One shelf photo with four products against four photos: the same validation score and the same model."""
    rng = np.random.default_rng(0)
    cut, boxed = tmp_path / "cut", tmp_path / "boxed"
    cut.mkdir()
    boxed.mkdir()
    parts, shelves = ["image,product,split"], ["image,product,split,x1,y1,x2,y2"]
    for shelf in range(5):
        split = "val" if shelf == 4 else "train"
        pixels = rng.integers(0, 60, (40, 192, 3)).astype(np.uint8)
        picture = Image.fromarray(pixels)
        for product in range(4):
            picture.paste(photo(product, shelf), (48 * product, 0))
        (boxed / f"{shelf}.png").write_bytes(encoded(picture))
        for product in range(4):
            box = (48 * product, 0, 48 * product + 48, 40)
            (cut / f"{shelf}-{product}.png").write_bytes(encoded(picture.crop(box), "BMP"))
            parts.append(f"{shelf}-{product}.png,p{product},{split}")
            shelves.append(f"{shelf}.png,p{product},{split},{','.join(map(str, box))}")
    models = []
    for folder, rows in ((cut, parts), (boxed, shelves)):
        (folder / "photos.csv").write_text("\n".join(rows))
        start = ["--backbone", "alexnet", "--weights", random_weights, "--epochs", 1, "--views", 2]
        done = cli("train", folder / "photos.csv", *start, "--tune", tune, "-w", folder / "ws", "--no-index")
        assert done.code == 0, done.err
        models.append(json.loads((folder / "ws/model/model.json").read_text()))
    assert models[0]["scores"] == models[1]["scores"]
    assert models[0]["fingerprint"] == models[1]["fingerprint"]


def looks_like(shown: Image.Image, part: Image.Image) -> bool:
    """Whether a picture shows another: as it is, or in the middle of a square tile."""
    inner = shown.width * part.height // part.width // 2
    middle = shown.crop((0, shown.height // 2 - inner, shown.width, shown.height // 2 + inner))
    small = [np.asarray(one.convert("RGB").resize((24, 20)), dtype=float)[3:-3, 3:-3] for one in (middle, part)]
    return bool(abs(small[0] - small[1]).mean() < 20)


@pytest.mark.parametrize("asked", ["photo", "--crop", "--like"])
def test_answers_show_the_part_that_was_searched(tmp_path: Path, cli: Cli, plain_model: Path, asked: str) -> None:
    """On the sheet, on the page, in the terminal: the product that was found, and not the shelf it stands on."""
    file = shelf_table(tmp_path / "shop", "area", "shelf.png,mug,0 0 48 40", "shelf.png,pot,48 0 96 40")
    common = ["-w", tmp_path / "w"]
    assert cli("index", file, "--box-column", "area", "--model", plain_model, *common).code == 0
    (tmp_path / "pot.png").write_bytes(encoded(scene().crop((48, 0, 96, 40))))
    questions: dict[str, dict[str, Any]] = {
        "photo": {"images": [str(tmp_path / "pot.png")]},
        "--crop": {"images": [str(tmp_path / "shop" / "shelf.png")], "crop": "50%,0,50%,100%"},
        "--like": {"like": ["pot"]},
    }
    question = questions[asked]
    words = [*question.get("images", []), *(["--crop", question["crop"]] if "crop" in question else [])]
    words += ["--like", "pot"] if "like" in question else []
    shown = ["--sheet", tmp_path / "s.png", "--html", tmp_path / "s.html", "--format", "jsonl"]
    found = cli("query", *words, *common, *shown)
    hits = json.loads(found.out)["hits"]
    assert [(hit["product"], hit["box"]) for hit in hits] == [("pot", [48, 0, 96, 40]), ("mug", [0, 0, 48, 40])]
    assert hits[0]["score"] > 0.999
    with Image.open(tmp_path / "s.png") as sheet:
        tiles = [sheet.crop((left, 54, left + 180, 234)) for left in (20, 20 + 180 + 24, 20 + 2 * 192 + 12)]
    on_page = [Image.open(io.BytesIO(data)) for data in photos_of((tmp_path / "s.html").read_text())]
    answer = next(iter(dmlcli.query(**question, workspace=tmp_path / "w").answers))
    row = strip(answer, 96, 3)
    in_terminal = [row.crop((left, 0, left + 96, 96)) for left in (0, 102, 204)]
    for images in (tiles, on_page, in_terminal):
        assert len(images) == 3
        assert all(looks_like(one, photo(product)) for one, product in zip(images, (2, 2, 1), strict=True))
        assert not looks_like(images[0], photo(1)) and not looks_like(images[0], scene())


def test_an_index_from_before_boxes_were_kept_is_searched_as_it_is(tmp_path: Path, cli: Cli, plain_model: Path) -> None:
    file = shelf_table(tmp_path / "shop", "area", "shelf.png,pot,48 0 96 40")
    common = ["-w", tmp_path / "w"]
    assert cli("index", file, "--box-column", "area", "--model", plain_model, *common).code == 0
    with closing(sqlite3.connect(tmp_path / "w" / "index" / "items.sqlite")) as table:
        table.execute("ALTER TABLE contents DROP COLUMN box")
        table.commit()
    record = tmp_path / "w" / "index" / "index.json"
    values = json.loads(record.read_text())
    del values["sums"]  # which came later than boxes
    record.write_text(json.dumps(values))
    found = cli("query", "--like", "pot", *common, "--format", "jsonl")
    assert found.code == 0 and json.loads(found.out)["hits"][0]["box"] is None
