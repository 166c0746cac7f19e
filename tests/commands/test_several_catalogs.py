"""train and index with several catalogs: what is found says which catalog it is from."""

import json
from pathlib import Path

import pytest

import dmlcli
from dmlcli import runs
from dmlcli.workspace import Workspace
from tests.conftest import Cli, make_shop

FAST = ("--backbone", "descriptor", "--tune", "none")


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [make_shop(tmp_path / name, 4) for name in ("studio", "phone")]


def found(cli: Cli, photo: Path, workspace: Path) -> list[str]:
    answer = cli("query", photo, "-w", workspace, "-k", 2, "--format", "json")
    assert answer.code == 0, answer.err
    return [hit["product"] for hit in json.loads(answer.out)["answers"][0]["hits"]]


def test_products_of_two_catalogs_are_trained_on_and_found_apart(two: list[Path], tmp_path: Path, cli: Cli) -> None:
    place = tmp_path / "w"
    trained = cli("train", *two, *FAST, "-w", place, "--format", "json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["products"] == 8 and trained.err.count("in several catalogs") == 1
    assert {*found(cli, two[0] / "product-00" / "0.png", place)} == {"studio/product-00", "phone/product-00"}
    (run,) = runs.list_runs(Workspace(place).runs)
    assert run.catalog == f"{two[0]} {two[1]}"
    indexed = cli("index", *two, "--merge-products", "-w", place, "--format", "json")
    assert json.loads(indexed.out)["products"] == 4 and json.loads(indexed.out)["images"] == 24
    assert found(cli, two[0] / "product-00" / "0.png", place)[0] == "product-00"


def test_one_catalog_is_named_as_before(two: list[Path], tmp_path: Path, cli: Cli) -> None:
    reports = [
        dmlcli.train(given, backbone="descriptor", tune="none", workspace=tmp_path / name)
        for name, given in (("one", two[0]), ("list", [two[0]]))
    ]
    assert [report.images for report in reports] == [12, 12]
    assert found(cli, two[0] / "product-01" / "0.png", tmp_path / "one")[0] == "product-01"
    assert cli("train", two[0], "--merge-products", *FAST).code == 2
    missing = cli("train", *FAST)
    assert missing.code == 2 and "catalog" in missing.err.lower()


def test_embeddings_are_indexed_alone(two: list[Path], tmp_path: Path, cli: Cli) -> None:
    made = tmp_path / "vectors.npz"
    assert cli("embed", two[0], "--backbone", "descriptor", "-w", tmp_path / "w", "-o", made).code == 0
    assert cli("index", made, "-w", tmp_path / "w").code == 0
    assert cli("index", made, two[1], "-w", tmp_path / "w").code in (2, 4)
