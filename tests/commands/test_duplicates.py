"""dmlcli duplicates: groups of near-identical images or products, from an index."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dmlcli
from dmlcli import indexes, model
from dmlcli.catalog import Photo
from dmlcli.embeddings import open_embeddings
from dmlcli.image import ImageSettings
from dmlcli.model import ModelRecord
from dmlcli.pages import duplicates as page
from dmlcli.report.duplicates import Alike, DuplicatesReport
from tests.conftest import Cli, Mission, make_embeddings, photo


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
    assert list(whole) == ["schema", "index", "threshold", "of", "by", "searched", "groups", "cautions"]
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
    """Each picture is still there under another name that is not printed and no link to it."""
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


def test_frozen_features_separate_the_photos_of_a_product(
    mission: Mission, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features that training cached, not its embeddings, which are nearly equal for all photos of a product."""
    monkeypatch.chdir(mission.folder)
    place = mission.workspace
    cache = open_embeddings(next(place.glob("features/*-plain")))
    cosines = cache.vectors @ cache.vectors.T
    np.fill_diagonal(cosines, -1)
    threshold = float(np.sort(cosines.max(axis=1))[-3])  # at least three images have a neighbor this close
    report = dmlcli.duplicates(by="features", threshold=threshold - 1e-5)
    grouped = {Path(member.image).resolve() for group in report.groups for member in group}
    close = np.flatnonzero(cosines.max(axis=1) >= threshold - 1e-5)
    assert report.by == "features" and grouped == {(cache.root / cache.items[row].path).resolve() for row in close}


def test_features_that_are_not_cached_are_an_error(photos: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w" / ".dmlcli").mkdir(parents=True)
    index = indexed(photos, trained_model(photos.parent))
    found = cli("duplicates", "--index", index, "--by", "features", "-w", tmp_path / "w" / ".dmlcli")
    assert found.code == 4 and "frozen backbone" in found.err and "hint: dmlcli index" in found.err


def test_pixels_are_compared_if_requested(photos: Path, cli: Cli) -> None:
    shown = cli("duplicates", "--index", indexed(photos), "--by", "pixels", "--format", "paths")
    assert [Path(line).name for line in shown.out.splitlines()] == ["hard.png"]
    refused = cli("duplicates", "--index", photos.parent / "index", "--by", "pixels", "--products")
    assert refused.code == 2 and "--by compares images" in refused.err


def test_a_page_shows_the_photos_of_each_group(photos: Path, cli: Cli, tmp_path: Path) -> None:
    found = cli("duplicates", "--index", indexed(photos), "--html", tmp_path / "groups.html")
    page = (tmp_path / "groups.html").read_text()
    assert found.code == 0 and "1 group at a cosine of 0.95 or more among 6 images." in page
    assert page.count('href="data:image/jpeg;base64,') == 3 and 'aria-label="mug"' in page and "catalog <b>shop" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page) and not re.search("delete|remove", page)
    assert cli("duplicates", "--index", photos.parent / "index", "--html", tmp_path / "no" / "a.html").code == 4


def test_a_page_says_what_it_cuts(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alike = (Alike("mug", str(photos / "a.png"), 1.0), Photo(photos / "a.png", None))
    monkeypatch.setattr(page, "_MOST_GROUPS", 2)
    monkeypatch.setattr(page, "_MOST_MEMBERS", 1)
    report = DuplicatesReport("i", 0.9, "images", "features", 20, ((alike[0],) * 3,) * 5)
    page.write(tmp_path / "a.html", [[alike] * 3] * 5, report, photos)
    text = (tmp_path / "a.html").read_text()
    assert "5 groups at a cosine of 0.9 or more among 20 images. The first 2 are shown." in text
    assert text.count("… and 2 more") == 2 and text.count("data:image/jpeg") == 1 and text.count("<use ") == 2


def test_a_collapsed_index_is_one_group_with_a_warning(tmp_path: Path, cli: Cli) -> None:
    embeddings = make_embeddings(np.ones((200, 4)), ["mug"] * 200)
    indexes.build(tmp_path / "index", embeddings, None)
    shown = cli("duplicates", "--index", tmp_path / "index", "--format", "table")
    assert shown.code == 0 and "1 group of 200 images" in shown.out and "higher --threshold" in shown.err
    assert "… and 190 more" in shown.out


def test_there_is_no_index(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("duplicates").code == 4 and cli("duplicates", "--threshold", "2").code == 2
