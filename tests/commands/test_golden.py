"""The golden test of a search: each indexed photo returns itself first, whatever the kind of index, before an update
and after one. Real photos, real files, the command line."""

import shutil
from pathlib import Path

import pytest

import dmlcli
from dmlcli.indexes import open_index
from dmlcli.indexes.auto_kind import kinds
from tests.conftest import SAMPLE, Cli

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*are few for")]

_IMAGES, _DIM = 270, 2081  # as many, and as long, as here
CHOSEN = ["Flat", *kinds(_IMAGES, _DIM)]  # what --auto chooses from
ASKED = [
    "HNSW16,SQ8",
    "HNSW16,Flat",
    "IVF8,SQfp16",
    "PCA32,IVF4,Flat",
    "PCA64,IVF4,PQ16",
    "PCA64,IVF8,PQ8x4fs",
    "OPQ8_32,IVF4,PQ8x4",
    "PCA64,SQ8",
    "IVF4_HNSW8,Flat",
    "PCA64,PQ8x4",
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, plain_model: Path) -> Path:
    """A folder with 54 products of five photos each, embedded once; copied for each kind of index."""
    folder = tmp_path_factory.mktemp("golden")
    for product in sorted((SAMPLE / "catalog").glob("*/*")):
        target = folder / "catalog" / product.parent.name / product.name
        target.mkdir(parents=True)
        for photo in sorted(product.glob("*.jpg"))[:5]:
            shutil.copy(photo, target)
    dmlcli.embed(folder / "catalog", model=plain_model, workspace=folder / ".dmlcli")
    return folder


def find_themselves(cli: Cli, folder: Path) -> int:
    """Query with every photo of the catalog; how many there are."""
    photos = sorted((folder / "catalog").rglob("*.jpg"))
    found = cli("query", "catalog", "-k", 1, "-w", ".dmlcli")
    assert found.code == 0, found.err
    rows = [line.split("\t") for line in found.out.splitlines()]
    assert [row[0] for row in rows] == [str(photo.relative_to(folder)) for photo in photos]
    assert [row[4] for row in rows] == [row[0] for row in rows]
    assert min(float(row[2]) for row in rows) > 0.999
    return len(rows)


@pytest.mark.parametrize("kind", dict.fromkeys([*CHOSEN, *ASKED]))
def test_each_photo_returns_itself_first(
    shop: Path, kind: str, cli: Cli, plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(shop, tmp_path / "shop", copy_function=shutil.copy2)
    monkeypatch.chdir(folder)
    common = ["--model", plain_model, "-w", ".dmlcli"]
    assert cli("index", "catalog", "--factory", kind, *common).code == 0
    assert find_themselves(cli, folder) == 270

    products = sorted((folder / "catalog").glob("*/*"))
    for product in products[::9]:
        shutil.rmtree(product)  # gone
    moved = products[1] / "1.jpg"
    shutil.copy(SAMPLE / "queries" / products[1].name / "1.jpg", moved)  # another picture under the same name
    for product in products[2::9]:
        name = f"{product.parent.name}/{product.name}"
        for photo in sorted((SAMPLE / "catalog" / name).glob("*.jpg"))[5:]:
            shutil.copy(photo, product)  # new
    report = cli("index", "catalog", "--update", "--prune", *common)
    assert report.code == 0 and "19 added, 31 removed" in report.out, report
    index = open_index(folder / ".dmlcli" / "index")
    assert (index.kind, index.dim) == (kind, _DIM)
    assert find_themselves(cli, folder) == 258


@pytest.mark.parametrize("options", [["--auto"], ["--target-recall", "0.9"], ["--max-memory", "100M"]])
def test_each_photo_returns_itself_where_the_kind_is_chosen(
    shop: Path, options: list[str], cli: Cli, plain_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(shop, tmp_path / "shop", copy_function=shutil.copy2)
    monkeypatch.chdir(folder)
    assert cli("index", "catalog", *options, "--model", plain_model, "-w", ".dmlcli").code == 0
    assert find_themselves(cli, folder) == 270
