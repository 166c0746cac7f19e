"""Tar files of samples are a catalog like any other, here or behind a URL, and read where they lie."""

import io
import json
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from dmlcli.catalog import Columns, open_catalog
from dmlcli.embeddings import open_embeddings
from dmlcli.errors import CatalogError, ImageError, MissingError
from dmlcli.image import archives, read_file, status_of
from tests.conftest import Cli, encoded, photo, process


def pack(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return file


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder of two tar files, three products of three pictures each, and what is said of them in JSON."""
    for number in (0, 1):
        samples: dict[str, bytes] = {}
        for image in range(5 if number == 0 else 4):
            row = number * 5 + image
            samples[f"{row:04}.png"] = encoded(photo(row // 3, row % 3))
            samples[f"{row:04}.json"] = json.dumps({"sku": f"p{row // 3}", "price": 2.5}).encode()
        pack(tmp_path / "shards" / f"shop-{number:03}.tar", samples)
    return tmp_path / "shards"


def test_a_folder_a_range_and_a_single_file(shards: Path) -> None:
    whole = open_catalog(shards)
    assert [item.path for item in whole.items[4:6]] == ["shop-000.tar/0004.png", "shop-001.tar/0005.png"]
    assert [item.product for item in whole.items] == ["p0"] * 3 + ["p1"] * 3 + ["p2"] * 3
    assert whole.items[0].columns == (("price", "2.5"),)
    assert open_catalog(shards / "shop-{000..001}.tar").items == whole.items
    assert open_catalog(shards / "shop-001.tar").items == whole.items[5:]
    assert whole.photo(whole.items[8]).read_bytes() == encoded(photo(2, 2))


@pytest.mark.parametrize(("suffix", "product"), [("cls", "7"), ("txt", "a blue mug")])
def test_the_class_or_the_text_is_the_product_where_nothing_else_is(tmp_path: Path, suffix: str, product: str) -> None:
    members = {"./a/1.front.png": encoded(photo(1)), f"./a/1.{suffix}": f"{product}\n".encode(), "a/2.png": b"no"}
    catalog = open_catalog(pack(tmp_path / "one.tar", members))
    assert [(item.path, item.product) for item in catalog.items] == [
        ("one.tar/a/1.front.png", product),
        ("one.tar/a/2.png", ""),
    ]


def test_a_field_can_be_named_and_a_table_can_point_into_a_tar_file(shards: Path) -> None:
    assert {item.product for item in open_catalog(shards, Columns(product="price")).items} == {"2.5"}
    table = shards.parent / "list.csv"
    table.write_text("image,product\nshards/shop-000.tar/0001.png,mug\nshards/shop-000.tar/9.png,mug\n")
    catalog = open_catalog(table)
    assert catalog.photo(catalog.items[0]).read_bytes() == encoded(photo(0, 1))
    with pytest.raises(MissingError, match=r"9\.png not found in shop-000\.tar"):
        catalog.photo(catalog.items[1]).read_bytes()


def test_a_picture_has_its_own_size_and_the_time_of_its_tar_file(shards: Path) -> None:
    status = status_of(shards / "shop-000.tar" / "0001.png")
    assert status.st_size == len(encoded(photo(0, 1)))
    assert status.st_mtime_ns == (shards / "shop-000.tar").stat().st_mtime_ns
    pack(shards / "shop-000.tar", {"0001.png": b"another"})
    assert read_file(shards / "shop-000.tar" / "0001.png") == b"another"


def test_a_damaged_tar_file_is_listed_and_stops_nothing(shards: Path) -> None:
    (shards / "shop-002.tar").write_bytes(b"not a tar file" * 100)
    catalog = open_catalog(shards)
    assert len(catalog.items) == 9 and [Path(one.path).name for one in catalog.skipped] == ["shop-002.tar"]
    whole = (shards / "shop-000.tar").read_bytes()
    last = archives.members(shards / "shop-000.tar")["0003.png"]
    (shards / "shop-000.tar").write_bytes(whole[: last.offset + 10])
    with pytest.raises(ImageError):
        read_file(shards / "shop-000.tar" / "0003.png")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [(b"{", "1.json cannot be read: not valid JSON"), (b"[]", "not a JSON object"), (b"[" * 100_000, "not valid JSON")],
)
def test_an_image_whose_json_cannot_be_read_is_listed_and_stops_nothing(
    shards: Path, fields: bytes, reason: str
) -> None:
    pack(shards / "shop-002.tar", {"1.png": encoded(photo(1)), "1.json": fields, "2.png": encoded(photo(2))})
    catalog = open_catalog(shards)
    assert [item.path for item in catalog.items[8:]] == ["shop-001.tar/0008.png", "shop-002.tar/2.png"]
    (skipped,) = catalog.skipped
    assert skipped.path == f"{shards}/shop-002.tar/1.png" and reason in skipped.reason


def test_the_fields_of_an_image_are_not_read_where_they_are_huge(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmlcli.catalog.shards._MOST_BYTES", 10)
    with pytest.raises(CatalogError, match=r"bytes exceed the limit of 10"):
        open_catalog(shards)


def test_what_macos_packs_beside_files_is_left_out(tmp_path: Path) -> None:
    members = {"a/1.png": encoded(photo(1)), "a/._1.png": b"\0\5\x16\7", "__MACOSX/a/1.png": b"\0\5\x16\7"}
    assert [item.path for item in open_catalog(pack(tmp_path / "one.tar", members)).items] == ["one.tar/a/1.png"]


def test_a_url_that_leads_nowhere(cli: Cli, tmp_path: Path) -> None:
    found = cli("embed", "memory://nowhere/one.tar", "-w", tmp_path / "w")
    assert found.code == 4 and "memory://nowhere/one.tar cannot be read: file not found" in found.err
    found = cli("embed", "nonsense://nowhere/one.tar", "-w", tmp_path / "w")
    assert found.code == 4 and "nonsense" in found.err


@pytest.mark.slow
def test_embeddings_of_tar_files_are_those_of_their_pictures_also_far_away(
    cli: Cli, shards: Path, tmp_path: Path
) -> None:
    """By path, by URL, and by URL with two processes; unchanged files are not read again."""
    store = fsspec.filesystem("memory")
    for shard in shards.glob("*.tar"):
        store.pipe(f"/bucket/{shard.name}", shard.read_bytes())
    work = tmp_path / "w"
    local = cli("embed", shards, "-w", work, "-o", tmp_path / "local")
    assert local.code == 0, local.err
    far = "memory://bucket/shop-{000..001}.tar"
    assert cli("embed", far, "-w", work, "-o", tmp_path / "far").code == 0
    again = cli("embed", far, "-w", work, "-o", tmp_path / "far", "--format", "json")
    assert json.loads(again.out)["computed"] == 0
    shared = process(
        "embed", f"file://{shards}/shop-{{000..001}}.tar", "-w", work, "-o", tmp_path / "two", "--processes", 2,
        cwd=tmp_path,
    )  # fmt: skip
    assert shared.returncode == 0, shared.stderr.decode()
    one, *others = [open_embeddings(tmp_path / name) for name in ("local", "far", "two")]
    for other in others:
        assert other.items == one.items and np.array_equal(other.vectors, one.vectors)
    assert str(others[0].root) == "memory:/bucket"
