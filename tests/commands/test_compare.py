"""dmlcli compare: the table that says which loss suits the photos."""

import json
import shutil
from pathlib import Path

import pytest

import dmlcli
from dmlcli.errors import CatalogError, UsageError
from dmlcli.report.compare import CompareReport
from tests.conftest import Cli, Mission
from tests.places import ROOT

CATALOG = ROOT / "sample_data" / "catalog" / "mug"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, mission: Mission) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "workspace"
    shutil.copytree(mission.workspace / "frozen", folder / "frozen")
    return folder


def compare(workspace: Path, losses: str, **settings: int) -> CompareReport:
    report = dmlcli.compare(CATALOG, losses=losses, backbone="descriptor", workspace=workspace, views=2, **settings)
    assert isinstance(report, CompareReport)
    return report


def test_each_loss_is_scored_beside_the_frozen_backbone_and_the_closed_form(workspace: Path) -> None:
    report = compare(workspace, "proxy-anchor,triplet:mining=batch-hard,margin=0.1,softmax+0.5*supcon", epochs=2)
    names = {one.name for one in report.contenders}
    assert names == {
        "frozen backbone",
        "closed form",
        "proxy-anchor",
        "triplet:mining=batch-hard,margin=0.1",
        "softmax+0.5*supcon",
    }
    scores = [one.map_at_r for one in report.contenders]
    assert scores == sorted(scores, reverse=True)
    assert report.products == 3 and "3 new products" in report.protocol
    for one in report.contenders:
        assert one.interval95 is not None and one.interval95[0] <= one.map_at_r <= one.interval95[1]
    frozen = next(one for one in report.contenders if one.name == "frozen backbone")
    assert frozen.gain == 0 and frozen.gain_interval95 == (0, 0)


def test_the_same_seed_gives_the_same_table(workspace: Path) -> None:
    first, second = (compare(workspace, "margin", epochs=2) for _ in range(2))
    assert [one.map_at_r for one in first.contenders] == [one.map_at_r for one in second.contenders]


def test_a_misspelt_loss_is_answered_before_the_work(workspace: Path) -> None:
    with pytest.raises(UsageError, match="tripelt"):
        compare(workspace, "proxy-anchor,tripelt")


def test_too_few_products_cannot_be_compared_on(tmp_path: Path) -> None:
    for product in ("mug-tall-stripes", "mug-wide-stripes"):
        shutil.copytree(CATALOG / product, tmp_path / "two" / product)
    with pytest.raises(CatalogError, match="four products"):
        dmlcli.compare(tmp_path / "two", backbone="descriptor", workspace=tmp_path / "workspace")


def test_the_command_prints_a_table_and_json(workspace: Path, cli: Cli) -> None:
    line = ["compare", CATALOG, "--losses", "nca", "--epochs", 1, "--views", 2, "--backbone", "descriptor"]
    table = cli(*line, "-w", workspace)
    assert table.code == 0 and "over frozen" in table.out and "nca" in table.out
    shown = cli(*line, "-w", workspace, "--format", "json")
    assert {one["name"] for one in json.loads(shown.out)["contenders"]} == {"frozen backbone", "closed form", "nca"}
