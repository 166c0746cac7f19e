"""dmlcli duplicates: groups of near-identical images or products, from an index."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dmlcli
from dmlcli import indexes, model
from dmlcli.image import ImageSettings
from dmlcli.model import ModelRecord
from dmlcli.report.duplicates import DuplicatesReport
from tests.conftest import Cli, make_embeddings, photo


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Eight images: a pair and a chain of three that are near-identical, and three by themselves."""
    rows = np.eye(8, 16)
    rows[1] = rows[0] + 0.1 * np.eye(16)[10]
    rows[3] = rows[2] + 0.25 * np.eye(16)[11]
    rows[4] = rows[3] + 0.25 * np.eye(16)[12]
    products = ["mug", "mug", "jar", "pot", "pot", "pan", "pan", ""]
    paths = [f"{name}.jpg" for name in ("a", "b", "tab\there", "d", "é", "f", "g", "h")]
    indexes.build(tmp_path / "index", make_embeddings(rows, products, paths), None)
    return tmp_path / "index"


def test_groups_are_linked_through_others(index: Path) -> None:
    report = dmlcli.duplicates(index=index)
    assert isinstance(report, DuplicatesReport) and report.searched == 8 and not report.says_no
    assert [[Path(member.image).name for member in group] for group in report.groups] == [
        ["tab\there.jpg", "d.jpg", "é.jpg"],
        ["a.jpg", "b.jpg"],
    ]
    assert all(0.95 <= member.score <= 1 for group in report.groups for member in group)


def test_none_is_exit_1(index: Path, cli: Cli) -> None:
    shown = cli("duplicates", "--index", index, "--threshold", "0.999", "--format", "table")
    assert shown.code == 1 and shown.out == "none at a cosine of 0.999 or more, among 8 images\n"
    for format in ("tsv", "jsonl", "paths"):
        assert cli("duplicates", "--index", index, "--threshold", "0.999", "--format", format)[:2] == (1, "")


def test_products_are_compared_by_their_means(index: Path, cli: Cli) -> None:
    shown = cli("duplicates", "--index", index, "--products", "--threshold", "0.9", "--format", "jsonl")
    (group,) = [json.loads(line) for line in shown.out.splitlines()]
    assert shown.code == 0 and [member["product"] for member in group["members"]] == ["jar", "pot"]
    refused = cli("duplicates", "--index", index, "--products", "--format", "paths")
    assert refused.code == 2 and "hint" in refused.err


def test_each_format(index: Path, cli: Cli) -> None:
    def shown(format: str, *more: str) -> str:
        run = cli("duplicates", "--index", index, "--format", format, *more)
        assert run.code == 0
        return run.out

    assert "group 2" in shown("table") and "2 groups of 5 images" in shown("table")
    lines = shown("tsv").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["1", "1", "1", "2", "2"] and "tab\\there" in lines[0]
    table = list(csv.reader(io.StringIO(shown("csv"))))
    assert table[0] == ["group", "score", "product", "image"] and table[1][3].endswith("tab\there.jpg")
    first = json.loads(shown("jsonl").splitlines()[0])
    assert list(first) == ["schema", "group", "members"] and list(first["members"][0]) == ["product", "image", "score"]
    whole = json.loads(shown("json"))
    assert list(whole) == ["schema", "index", "threshold", "of", "searched", "groups", "cautions"]
    assert [Path(path).name for path in shown("paths", "-0").split("\0")[:-1]] == ["d.jpg", "é.jpg", "b.jpg"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A picture, a smaller copy of it, both again by links, and a different photo of the product."""
    shop = tmp_path / "shop"
    shop.mkdir()
    photo(1, size=(96, 80)).save(shop / "a.png")
    photo(1, size=(96, 80)).resize((48, 40)).save(shop / "b.png")
    photo(2, size=(96, 80)).save(shop / "c.png")
    (shop / "hard.png").hardlink_to(shop / "a.png")
    (shop / "soft.png").symlink_to("b.png")
    return shop


def indexed(shop: Path, model: Path | None = None) -> Path:
    """An index in which all photos of a folder are nearly the same to the model."""
    paths = ["soft.png", "b.png", "hard.png", "a.png", "./a.png", "c.png"]
    embeddings = make_embeddings(np.eye(4)[[0] * 6], ["mug"] * 6, paths)
    indexes.build(shop.parent / "index", replace(embeddings, root=shop, model=TRAINED if model else ""), model)
    return shop.parent / "index"


def test_links_and_rows_of_one_file_are_no_duplicates(photos: Path, cli: Cli) -> None:
    """Whatever is printed may be deleted: each picture is still there under another name that is no link to it."""
    shown = cli("duplicates", "--index", indexed(photos), "--format", "paths")
    assert [Path(line).name for line in shown.out.splitlines()] == ["hard.png", "c.png"]
    assert "3 more are listed twice or linked to the same file" in shown.err


def test_the_one_that_is_kept_exists(photos: Path, cli: Cli) -> None:
    index = indexed(photos)
    for name in ("soft.png", "b.png"):
        (photos / name).unlink()
    shown = cli("duplicates", "--index", index, "--format", "paths").out
    assert "hard.png" not in shown and "c.png" in shown


def test_a_trained_model_is_not_believed_without_the_pixels(photos: Path, cli: Cli) -> None:
    """It gives different photos of a product the same embedding."""
    shown = cli("duplicates", "--index", indexed(photos, trained_model(photos.parent)), "--format", "paths")
    assert [Path(line).name for line in shown.out.splitlines()] == ["hard.png"]
    assert "1 more have similar embeddings" in shown.err and "show different pictures" in shown.err


TRAINED = "0123456789abcdef"


def trained_model(folder: Path) -> Path:
    """A model record of a training; nobody encodes with it here."""
    record = ModelRecord(TRAINED, "descriptor", {"kind": "linear"}, 4, ImageSettings(), "nowhere", products=["mug"])
    return model.save(folder / "model", record, {"weight": np.zeros((4, 4), np.float32)}, None).folder


def test_a_collapsed_index_is_one_group_with_a_warning(tmp_path: Path, cli: Cli) -> None:
    embeddings = make_embeddings(np.ones((200, 4)), ["mug"] * 200)
    indexes.build(tmp_path / "index", embeddings, None)
    shown = cli("duplicates", "--index", tmp_path / "index", "--format", "table")
    assert shown.code == 0 and "1 group of 200 images" in shown.out and "higher --threshold" in shown.err
    assert "… and 190 more" in shown.out


def test_there_is_no_index(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("duplicates").code == 4 and cli("duplicates", "--threshold", "2").code == 2
